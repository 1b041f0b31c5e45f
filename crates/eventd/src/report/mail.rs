//! Mails about errors: the first at once, those of the next minute in one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::board::Board;
use super::log::Record;
use crate::plugins::Emails;
use crate::workers::{Worker, Workers};

/// Sends mails, by the standard library's smtplib in a worker.
#[derive(Debug)]
pub struct Mailer {
    /// The workers.
    pub workers: Arc<Workers>,
    /// Whom plugins want to be told.
    pub board: Arc<Board>,
    /// The configuration file, which has the server and the password.
    pub config: String,
    /// To whom errors go otherwise.
    pub to: Vec<String>,
    /// How long errors are gathered after a mail.
    pub digest: Duration,
}

/// How many errors one mail has; of others it has the number.
const MOST: usize = 50;

/// How long a mail may take to send.
const LIMIT: Duration = Duration::from_secs(60);

impl Mailer {
    /// Sends what comes until there is nobody who could send anything more.
    pub async fn run(self, mut errors: UnboundedReceiver<Record>) {
        while let Some(first) = errors.recv().await {
            self.send(vec![first], 0).await;
            // What comes while there is a storm waits for its end, and is one mail.
            let (mut gathered, mut surplus) = (Vec::new(), 0);
            let until = Instant::now() + self.digest;
            while let Ok(Some(next)) = tokio::time::timeout_at(until, errors.recv()).await {
                if gathered.len() < MOST {
                    gathered.push(next);
                } else {
                    surplus += 1;
                }
            }
            if !gathered.is_empty() {
                self.send(gathered, surplus).await;
            }
        }
    }

    async fn send(&self, records: Vec<Record>, surplus: usize) {
        for (to, records) in self.by_receiver(records) {
            let (subject, text) = compose(&records, surplus);
            let worker = Worker::Plain("mail".to_owned());
            let config = self.config.clone();
            let sent = self
                .workers
                .call::<()>(
                    &worker,
                    "mail:send",
                    |call| call.arg(config).arg(json!(to)).arg(subject).arg(text),
                    Some(LIMIT),
                )
                .await;
            if let Err(error) = sent {
                // Not an error, which would be mailed.
                tracing::warn!(%error, "a mail about errors could not be sent");
            }
        }
    }

    /// The receivers, each with its records.
    fn by_receiver(&self, records: Vec<Record>) -> BTreeMap<Vec<String>, Vec<Record>> {
        let mut by_receiver: BTreeMap<Vec<String>, Vec<Record>> = BTreeMap::new();
        for record in records {
            let wanted = record
                .plugin
                .as_ref()
                .or(record.about.as_ref())
                .and_then(|name| self.board.plugin_named(name))
                .map(|plugin| plugin.emails);
            let to = match wanted {
                Some(Emails::Default(false)) => continue,
                Some(Emails::Addresses(addresses)) => addresses,
                Some(Emails::Default(true)) | None => self.to.clone(),
            };
            if !to.is_empty() {
                by_receiver.entry(to).or_default().push(record);
            }
        }
        by_receiver
    }
}

/// The end of the subject, and the text.
fn compose(records: &[Record], surplus: usize) -> (String, String) {
    let critical = records.iter().any(|record| record.level >= 50);
    let level = if critical { "CRITICAL" } else { "ERROR" };
    let total = records.len() + surplus;
    let subject = match records {
        [one] if surplus == 0 => format!("{level}: {}", one.name),
        _ => format!("{level}: {total} errors"),
    };
    let mut text = String::new();
    for record in records {
        text.push_str(&format!(
            "Time: {}\nLogger: {}\nLevel: {}\n",
            record.asctime(),
            record.name,
            record.level_name
        ));
        if !record.path.is_empty() {
            let line = record.line.unwrap_or_default();
            text.push_str(&format!("Where: {}, line {line}, {}\n", record.path, record.function));
        }
        text.push_str(&format!("\n{}\n\n{}\n", record.message, "-".repeat(72)));
    }
    if surplus > 0 {
        text.push_str(&format!("and {surplus} more, which are in the log.\n"));
    }
    (subject, text)
}
