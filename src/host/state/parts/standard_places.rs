//! Where code finds what it sets or replaces in the standard library.

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

/// All of them. A class or a dictionary is that of the module which has it under this name.
pub(super) const LISTED: &[Listed] = &[
    Listed { private: &["_"], ..module("builtins") },
    module("os"),
    module("posixpath"),
    module("ntpath"),
    classes("socket", &["socket"]),
    Listed { private: &["_create_default_https_context"], ..classes("ssl", &["SSLContext", "SSLSocket"]) },
    Listed {
        private: &["_MAXLINE", "_MAXHEADERS"],
        ..classes("http.client", &["HTTPConnection", "HTTPSConnection", "HTTPResponse"])
    },
    module("http.cookiejar"),
    Listed {
        private: &["_opener"],
        ..classes("urllib.request", &["Request", "OpenerDirector", "ProxyHandler"])
    },
    module("urllib.parse"),
    classes("xmlrpc.client", &["ServerProxy", "Transport"]),
    classes("smtplib", &["SMTP"]),
    module("ftplib"),
    Listed { tables: &["CHARSETS", "ALIASES", "CODEC_MAP"], ..module("email.charset") },
    classes("subprocess", &["Popen"]),
    module("tempfile"),
    Listed { tables: &["_ARCHIVE_FORMATS", "_UNPACK_FORMATS"], ..module("shutil") },
    Listed { private: &["_profile_hook", "_trace_hook"], ..classes("threading", &["Thread", "Timer"]) },
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
    module("logging.config"),
    // The list of filters has a part of its own.
    Listed { ignored: &["filters"], ..module("warnings") },
    module("traceback"),
    module("linecache"),
    module("inspect"),
    Listed { private: &["_default_encoder", "_default_decoder"], ..module("json") },
    classes("json.encoder", &["JSONEncoder"]),
    classes("json.decoder", &["JSONDecoder"]),
    module("pickle"),
    module("copy"),
    Listed { tables: &["dispatch_table"], ..module("copyreg") },
    module("csv"),
    Listed { tables: &["_dialects"], ..module("_csv") },
    module("codecs"),
    Listed { tables: &["aliases"], ..module("encodings.aliases") },
    module("io"),
    module("locale"),
    Listed { private: &["_current_domain"], tables: &["_localedirs"], ..module("gettext") },
    // These follow `TZ`.
    Listed { ignored: &["tzname", "timezone", "altzone", "daylight"], ..module("time") },
    module("datetime"),
    Listed { objects: &["c"], ..module("calendar") },
    module("decimal"),
    module("random"),
    module("uuid"),
    module("platform"),
    module("getpass"),
    module("netrc"),
    module("hashlib"),
    module("glob"),
    module("fnmatch"),
    classes("pathlib", &["Path", "PurePath"]),
    classes("zipfile", &["ZipFile"]),
    classes("tarfile", &["TarFile"]),
    Listed { tables: &["_namespace_map"], ..module("xml.etree.ElementTree") },
    classes("configparser", &["RawConfigParser", "ConfigParser"]),
    classes("argparse", &["ArgumentParser"]),
    module("optparse"),
    module("sqlite3"),
    module("ctypes"),
    Listed {
        // What it has read when it is asked first is everybody's.
        ignored: &["inited", "types_map", "common_types", "encodings_map", "suffix_map", "knownfiles"],
        tables: &["types_map", "common_types", "encodings_map", "suffix_map"],
        ..module("mimetypes")
    },
    module("select"),
    module("selectors"),
    module("signal"),
    module("webbrowser"),
    module("contextlib"),
    module("functools"),
    module("types"),
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
