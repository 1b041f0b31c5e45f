//! Core pointers that cannot be followed: each an error that names the file and what it says.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use sgtk_config::{ConfigError, CoreKind, Platform, PointerProblem, StudioFallback};

use crate::studio::{PLATFORMS, Studio, spelled};

/// The value and the problem that the error for a project with this pointer names.
fn refused(contents: &[u8]) -> (String, PointerProblem) {
    let studio = Studio::new();
    let file = studio.attached("a", contents);
    match studio.configs().locate("a").unwrap_err() {
        error @ ConfigError::Pointer { .. } => {
            let text = error.to_string();
            let ConfigError::Pointer { project, file: named, value, problem } = error else { unreachable!() };
            assert_eq!((project.as_str(), &named), ("a", &file));
            assert!(
                text.contains(&file.display().to_string()) && text.contains(&format!("{value:?}")),
                "{text}"
            );
            (value, *problem)
        }
        error => panic!("{error:?}"),
    }
}

fn problem_of(error: ConfigError) -> PointerProblem {
    match error {
        ConfigError::Pointer { problem, .. } => *problem,
        error => panic!("{error:?}"),
    }
}

#[test]
fn pointers_that_say_nothing_usable_are_refused() {
    use PointerProblem::{
        Empty, NotUtf8, OtherHome, Quoted, Relative, SeveralLines, Undefined, UnsetVariable,
    };
    let relative = |path: &str| Relative { expanded: path.to_owned(), platform: Platform::Linux };
    for (contents, value, problem) in [
        (&b""[..], "", Empty),
        (b" \r\n", "", Empty),
        (b"None", "None", Undefined),
        (b"undefined\n", "undefined", Undefined),
        (b"\"/mnt/x\"\n", "\"/mnt/x\"", Quoted),
        (b"/mnt/x\n/mnt/y\n", "/mnt/x", SeveralLines { lines: 2 }),
        (b"$NONE/x", "$NONE/x", UnsetVariable { variable: "NONE".to_owned() }),
        (b"~bob/x", "~bob/x", OtherHome { user: "bob".to_owned() }),
        (b"shared", "shared", relative("shared")),
        (b"../shared", "../shared", relative("../shared")),
        (br"C:\shared", r"C:\shared", relative(r"C:\shared")),
        (b"/mnt/\xff", "/mnt/\u{fffd}", NotUtf8),
    ] {
        assert_eq!(refused(contents), (value.to_owned(), problem));
    }
}

#[test]
fn a_pointer_to_what_is_no_folder_says_what_is_there() {
    let studio = Studio::new();
    let file = studio.write("file", "");
    let link = studio.path("link");
    symlink(studio.path("unmounted"), &link).unwrap();
    for (folder, expected) in [
        (studio.path("absent"), "nothing".to_owned()),
        (file, "a file".to_owned()),
        (link.clone(), format!("{} is a link to nowhere", link.display())),
    ] {
        studio.attached("a", folder.to_str().unwrap());
        let error = studio.configs().locate("a").unwrap_err();
        let PointerProblem::NotAFolder { folder: named, found } = problem_of(error) else {
            panic!("another problem")
        };
        assert_eq!((named, found), (folder, expected));
    }
}

#[test]
fn a_pointer_to_a_folder_without_a_core_is_an_error() {
    let studio = Studio::new();
    studio.write("shared/install/readme", "");
    studio.attached("a", "$STUDIO/shared");
    let error = studio.configs().locate("a").unwrap_err();
    let PointerProblem::NoCore { core, .. } = problem_of(error) else { panic!("another problem") };
    assert_eq!(core, studio.path("shared/install/core"));
}

#[test]
fn a_pointer_to_a_configuration_that_points_elsewhere_is_an_error() {
    let studio = Studio::new();
    studio.core("shared");
    let other = studio.attached("b", "$STUDIO/shared");
    studio.attached("a", "$STUDIO/configs/b");
    let error = studio.configs().locate("a").unwrap_err();
    assert!(matches!(&error, ConfigError::CoreElsewhere { pointer, .. } if *pointer == other), "{error:?}");
    // To itself, which would import its own proxies forever.
    studio.attached("a", "$STUDIO/configs/a");
    let error = studio.configs().locate("a").unwrap_err();
    assert!(matches!(error, ConfigError::CoreElsewhere { .. }), "{error:?}");
}

#[test]
fn a_nul_in_a_pointer_is_an_error() {
    let (value, problem) = refused(b"/mnt/\0/x");
    assert_eq!(value, "/mnt/\0/x");
    assert!(matches!(problem, PointerProblem::NotAFolder { .. }), "{problem:?}");
}

#[test]
fn a_pointer_larger_than_a_path_is_not_followed() {
    let studio = Studio::new();
    studio.core("shared");
    let mut contents = studio.path("shared").to_str().unwrap().to_owned();
    contents.push_str(&"\n".repeat(4097 - contents.len()));
    let expected = studio.attached("a", &contents);
    let error = studio.configs().locate("a").unwrap_err();
    let ConfigError::PointerTooLarge { file, size, limit, .. } = error else { panic!("{error:?}") };
    assert_eq!((file, size, limit), (expected, 4097, 4096));
    // One byte less is a pointer.
    contents.pop();
    studio.attached("a", contents);
    studio.configs().locate("a").unwrap();
}

#[test]
fn a_pointer_that_is_no_file_is_neither_opened_nor_waited_for() {
    let expect = |found: &str, make: &dyn Fn(&std::path::Path)| {
        let studio = Studio::new();
        let pointer = studio.attached("a", "");
        fs::remove_file(&pointer).unwrap();
        make(&pointer);
        let error = studio.configs().locate("a").unwrap_err();
        let ConfigError::PointerNotAFile { file, found: named, .. } = error else { panic!("{error:?}") };
        assert_eq!((file, named), (pointer, found));
    };
    expect("a folder", &|path| fs::create_dir(path).unwrap());
    expect("a device", &|path| symlink("/dev/zero", path).unwrap());
    expect("a named pipe", &|path| {
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: `name` is a NUL-terminated path that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    });
}

#[test]
fn links_in_a_circle_are_an_error() {
    let studio = Studio::new();
    let pointer = studio.attached("a", "");
    fs::remove_file(&pointer).unwrap();
    symlink(&pointer, &pointer).unwrap();
    let error = studio.configs().locate("a").unwrap_err();
    assert!(matches!(&error, ConfigError::Unreadable { file, .. } if *file == pointer), "{error:?}");
}

#[test]
fn variables_and_the_home_folder_are_expanded_by_the_platforms_rules() {
    let studio = Studio::new();
    let shared = studio.core("shared");
    for platform in PLATFORMS {
        // The variable's value is a share to Windows, a plain path to the others.
        let value = spelled(&studio.path(""), platform);
        let configs = studio.configs().platform(platform).variables([
            ("STUDIO", &value),
            ("HOME", &value),
            ("USERPROFILE", &value),
        ]);
        let mut spellings =
            vec!["$STUDIO/shared", "${STUDIO}shared", "~/shared", "\u{feff}$STUDIO/shared\r\n"];
        if platform == Platform::Windows {
            spellings.extend(["%STUDIO%/shared", "%studio%shared"]);
        }
        for spelling in spellings {
            studio.write(&format!("configs/a/install/core/{}", platform.core_pointer()), spelling);
            let core =
                configs.locate("a").unwrap_or_else(|error| panic!("{spelling:?} on {platform}: {error}"));
            assert_eq!(
                (core.kind(), core.install_core()),
                (CoreKind::Attached, shared.join("install/core").as_path())
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_pointer_holds_it_is_followed_to_a_core_or_refused_by_name(
        contents in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            "[\u{feff}\r\n $~%'\"{}A-Zé/\\\\:.\0-]{0,24}".prop_map(String::into_bytes),
            "\u{feff}?[ \t]{0,2}(\\$STUDIO|\\$\\{STUDIO\\}|~)/(shared|absent|configs/a|configs|\\.\\.)/?[ \r\n]{0,3}"
                .prop_map(String::into_bytes),
        ],
    ) {
        let studio = Studio::new();
        studio.core("shared");
        let file = studio.attached("a", &contents);
        for platform in PLATFORMS {
            let same = file.with_file_name(platform.core_pointer());
            fs::write(&same, &contents).unwrap();
            match studio.configs().platform(platform).studio_fallback(StudioFallback::Always).locate("a") {
                Ok(core) => {
                    prop_assert_eq!(core.kind(), CoreKind::Attached);
                    prop_assert!(core.install_core().is_absolute());
                    prop_assert!(core.python().join("sgtk/__init__.py").is_file());
                }
                Err(ConfigError::Pointer { file, .. }) => prop_assert_eq!(file, same),
                Err(ConfigError::CoreElsewhere { .. }) => {}
                Err(error) => prop_assert!(false, "{:?}", error),
            }
        }
    }
}
