//! Where code finds what it sets or replaces in the standard library.

use pyo3::prelude::*;

use crate::host::ownership::toolkit_names::top_level;
use crate::host::python::modules::is_standard_name;

/// A module of the standard library. What is in its own dictionary is watched where the name is public.
pub(super) struct Listed {
    pub(super) name: &'static str,
    /// Those of its private names that functions of its set, or code does by habit.
    pub(super) private: &'static [&'static str],
    /// Public names that are no settings, or have a part of their own.
    pub(super) ignored: &'static [&'static str],
    /// Classes of its whose attributes are watched.
    pub(super) classes: &'static [&'static str],
    /// Dictionaries of its that functions register things in.
    pub(super) tables: &'static [&'static str],
    /// Objects of its whose attributes are watched.
    pub(super) objects: &'static [&'static str],
}

const fn module(name: &'static str) -> Listed {
    Listed { name, private: &[], ignored: &[], classes: &[], tables: &[], objects: &[] }
}

const fn classes(name: &'static str, classes: &'static [&'static str]) -> Listed {
    Listed { classes, ..module(name) }
}

/// The other public modules of the standard library.
pub(super) const OTHERS: Listed = module("");

/// Whether a module of this name is watched, where it is the standard library's, though it is not listed.
/// `sys` has parts of its own.
pub(super) fn is_watched(py: Python<'_>, name: &str) -> bool {
    let mut parts = name.split('.');
    name != "sys" && is_standard_name(py, top_level(name)) && !parts.any(|part| part.starts_with('_'))
}

/// Those of which more is watched, or less. A class or a dictionary is that of the module which has it under
/// this name.
pub(super) const LISTED: &[Listed] = &[
    Listed { private: &["_"], ..module("builtins") },
    classes("socket", &["socket"]),
    Listed { private: &["_create_default_https_context"], ..classes("ssl", &["SSLContext", "SSLSocket"]) },
    Listed {
        private: &["_MAXLINE", "_MAXHEADERS"],
        ..classes("http.client", &["HTTPConnection", "HTTPSConnection", "HTTPResponse"])
    },
    Listed {
        private: &["_opener"],
        ..classes("urllib.request", &["Request", "OpenerDirector", "ProxyHandler"])
    },
    classes("xmlrpc.client", &["ServerProxy", "Transport"]),
    classes("smtplib", &["SMTP"]),
    Listed { tables: &["CHARSETS", "ALIASES", "CODEC_MAP"], ..module("email.charset") },
    classes("subprocess", &["Popen"]),
    Listed { tables: &["_ARCHIVE_FORMATS", "_UNPACK_FORMATS"], ..module("shutil") },
    Listed { private: &["_profile_hook", "_trace_hook"], ..classes("threading", &["Thread", "Timer"]) },
    Listed { private: &["_python_exe"], ..module("multiprocessing.spawn") },
    module("zoneinfo._tzpath"),
    classes("queue", &["Queue"]),
    classes("concurrent.futures.thread", &["ThreadPoolExecutor"]),
    Listed { private: &["_event_loop_policy"], ..module("asyncio.events") },
    Listed {
        private: &["_loggerClass", "_logRecordFactory", "_warnings_showwarning"],
        tables: &["_levelToName", "_nameToLevel"],
        objects: &["root"],
        ..classes(
            "logging",
            &["Logger", "LoggerAdapter", "Handler", "StreamHandler", "FileHandler", "Formatter", "LogRecord"],
        )
    },
    classes("logging.handlers", &["RotatingFileHandler"]),
    // The functions of imports have a part of their own.
    Listed { ignored: &["import_module"], ..module("importlib") },
    // The list of filters has a part of its own.
    Listed { ignored: &["filters"], ..module("warnings") },
    Listed { private: &["_default_encoder", "_default_decoder"], ..module("json") },
    classes("json.encoder", &["JSONEncoder"]),
    classes("json.decoder", &["JSONDecoder"]),
    Listed { tables: &["dispatch_table"], ..module("copyreg") },
    Listed { tables: &["_dialects"], ..module("_csv") },
    Listed { tables: &["aliases"], ..module("encodings.aliases") },
    Listed { private: &["_current_domain"], tables: &["_localedirs"], ..module("gettext") },
    // These follow `TZ`.
    Listed { ignored: &["tzname", "timezone", "altzone", "daylight"], ..module("time") },
    Listed { objects: &["c"], ..module("calendar") },
    classes("pathlib", &["Path", "PurePath"]),
    classes("zipfile", &["ZipFile"]),
    classes("tarfile", &["TarFile"]),
    Listed { tables: &["_namespace_map"], ..module("xml.etree.ElementTree") },
    classes("configparser", &["RawConfigParser", "ConfigParser"]),
    classes("argparse", &["ArgumentParser"]),
    Listed {
        // What it has read when it is asked first is everybody's.
        ignored: &["inited", "types_map", "common_types", "encodings_map", "suffix_map", "knownfiles"],
        tables: &["types_map", "common_types", "encodings_map", "suffix_map"],
        ..module("mimetypes")
    },
];

/// Attributes of classes and objects that Python itself keeps there, or that are caches or have a part of
/// their own.
pub(super) const NO_SETTINGS: [&str; 10] = [
    "__abstractmethods__",
    "__annotations__",
    "__dict__",
    "__doc__",
    "__parameters__",
    "__weakref__",
    "_abc_impl",
    "_cache",
    "manager",
    "parent",
];
