//! What could not start, and what is let alone.

use super::*;

/// What was built, or why not and what to do.
fn verdict(built: Result<BuiltImage, PackError>) -> String {
    match built {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error}: {}", error.hint().unwrap()),
    }
}

#[test]
fn what_the_user_may_not_execute_is_refused() {
    let folder = Folder::new();
    folder.file("passwd", "");
    fs::create_dir(folder.path("tree")).unwrap();
    symlink("plain", folder.path("tree/link")).unwrap();
    let program = |flags: &str| format!("COPY {flags} --from=build /out/app /app\n");
    let refused = [
        ("--chmod=0644", ""),
        ("--chmod=0644", "USER 0"),
        ("--chmod=0700", "USER 65532"),
        ("--chmod=0750", "USER 65532:65532"),
        ("--chmod=0655 --chown=65532", "USER 65532"),
        ("--chmod=0705 --chown=1:65532", "USER 65532:65532"),
        ("--chmod=0705", "USER 65532"),
        ("--chmod=0644", "COPY passwd /etc/passwd"),
    ];
    for (flags, more) in refused {
        let result = folder.build(&format!("{}{more}", program(flags)));
        let is_refused = matches!(result, Err(PackError::NotExecutable { .. }));
        assert!(is_refused, "{flags} {more}: {result:?}");
    }
    let fine = [
        ("", "USER 65532:65532"),
        ("--chmod=0100", ""),
        ("--chmod=0001", "USER 0"),
        ("--chmod=0100 --chown=65532", "USER 65532:1"),
        ("--chmod=0010 --chown=1:65532", "USER 65532:65532"),
        // Without a group it is that of root.
        ("--chmod=0010", "USER 65532"),
        ("--chmod=0001 --chown=1:1", "USER 65532"),
        // What the list makes of it is not known.
        ("--chmod=0750", "COPY passwd /etc/passwd\nUSER 65532"),
        ("--chmod=0750", "COPY passwd /etc/group\nUSER 65532"),
        (
            "--chmod=0750",
            "COPY tree /tree/\nCOPY passwd /etc/group\nUSER 65532",
        ),
    ];
    for (flags, more) in fine {
        let result = folder.build(&format!("{}{more}", program(flags)));
        assert!(result.is_ok(), "{flags} {more}: {result:?}");
    }
    let told = verdict(folder.build(&format!("{}USER 65532", program("--chmod=0700"))));
    insta::assert_snapshot!(told, @"`/app` is to be started, but its mode 0700 does not let the user of the image execute it: make it executable (`chmod +x`, or `COPY --chmod=0755`), or give it to the user (`COPY --chown`)");
}

#[test]
fn a_user_that_nothing_in_the_image_knows_is_refused() {
    let folder = Folder::new();
    folder.file("list", "app:x:65532:65532::/:\n");
    fs::create_dir(folder.path("tree")).unwrap();
    symlink("list", folder.path("tree/link")).unwrap();
    let told = |body: &str| verdict(folder.build(&format!("{PROGRAM}{body}")));
    let (users, groups) = ("COPY list /etc/passwd\n", "COPY list /etc/group\n");
    let refused = [
        told("USER app"),
        told("USER root"),
        told("USER 65532:app"),
        told(&format!("{users}USER app:app")),
        told(&format!("{groups}USER app:app")),
    ];
    insta::assert_snapshot!(refused.join("\n"), @"
    `app` is not known: it is not in `/etc/passwd` of the image: say its number, as in `USER 65532:65532`, or copy a `/etc/passwd` in which it is
    `root` is not known: it is not in `/etc/passwd` of the image: say its number, as in `USER 65532:65532`, or copy a `/etc/passwd` in which it is
    `app` is not known: it is not in `/etc/group` of the image: say its number, as in `USER 65532:65532`, or copy a `/etc/group` in which it is
    `app` is not known: it is not in `/etc/group` of the image: say its number, as in `USER 65532:65532`, or copy a `/etc/group` in which it is
    `app` is not known: it is not in `/etc/passwd` of the image: say its number, as in `USER 65532:65532`, or copy a `/etc/passwd` in which it is
    ");
    assert_eq!(told(&format!("{users}USER app")), "ok");
    assert_eq!(told(&format!("{users}{groups}USER app:app")), "ok");
    assert_eq!(told(&format!("{groups}USER 65532:app")), "ok");
    assert_eq!(told("USER 65532"), "ok");
    // A link in the image is followed.
    fs::create_dir(folder.path("etc")).unwrap();
    symlink("/tree/passwd", folder.path("etc/passwd")).unwrap();
    folder.file("tree/passwd", "app:x:65532:65532::/:\n");
    assert_eq!(told("COPY etc /etc/\nCOPY tree /tree/\nUSER app"), "ok");
    assert!(told("COPY etc /etc/\nUSER app").contains("`app` is not known"));
}

#[test]
fn another_file_is_started_only_if_it_can_be() {
    let program = |machine, kind| crate::testing::elf(machine, &[kind]);
    let mut dynamic = program(62, 3);
    (dynamic[72], dynamic[96]) = (120, 15);
    dynamic.extend(b"/lib/ld-x.so.1\0");
    let folder = Folder::new();
    folder.file("plain", "exit 0\n").file("script", "#!/app");
    for (name, content) in [
        ("static", program(62, 1)),
        ("other", program(183, 1)),
        ("dynamic", dynamic),
    ] {
        fs::write(folder.path(name), content).unwrap();
    }
    let told = |name: &str, more: &str| {
        let body = format!("{PROGRAM}COPY --chmod=0755 {name} /start\n{more}");
        verdict(folder.build_starting("/start", &body))
    };
    assert_eq!(told("static", ""), "ok");
    assert_eq!(told("script", ""), "ok");
    assert_eq!(told("dynamic", "COPY plain /lib/ld-x.so.1"), "ok");
    let refused = ["plain", "other", "dynamic"].map(|name| told(name, ""));
    insta::assert_snapshot!(refused.join("\n"), @"
    `/start` is to be started, but it is not a 64-bit Linux program: start the program that cargo builds; or copy a static program for this processor, or a script that begins with `#!` and what runs it
    `/start` is to be started, but it is not made for X86_64: start the program that cargo builds; or copy a static program for this processor, or a script that begins with `#!` and what runs it
    `/start` is to be started, but it is not static: it needs `/lib/ld-x.so.1`: start the program that cargo builds; or copy a static program for this processor, or a script that begins with `#!` and what runs it
    ");
    // A file that the checkout does not make executable.
    let body = format!("{PROGRAM}COPY script /start");
    let result = folder.build_starting("/start", &body);
    assert!(matches!(result, Err(PackError::NotExecutable { .. })));
    // What is not started may be anything.
    assert!(folder.build(&format!("{PROGRAM}COPY plain /x")).is_ok());
}

#[test]
fn what_is_started_is_found_as_the_runtime_finds_it() {
    let folder = Folder::new();
    folder.file("script", "#!/app");
    let told = |first: &str, body: &str| {
        verdict(folder.build_starting(first, &format!("{PROGRAM}{body}")))
    };
    let at = "COPY --from=build /out/app /usr/local/bin/app\n";
    let fine = [
        ("//app", ""),
        ("/x/../app", ""),
        ("./app", ""),
        ("app", at),
        ("app", "ENV PATH=/bin:/"),
        (
            "bin/app",
            "WORKDIR /usr/local\nCOPY --from=build /out/app bin/",
        ),
    ];
    for (first, body) in fine {
        assert_eq!(told(first, body), "ok", "{first} {body}");
    }
    let refused = [
        told("app", ""),
        told("./nope", ""),
        told("./app", "WORKDIR /w"),
        told("", ""),
        told("/app", "USER 4294967295"),
        told("/app", "USER 1:2147483648"),
        told("/dev/app", "COPY --from=build /out/app /dev/app"),
        told("app", "ENV PATH=/bin"),
    ];
    insta::assert_snapshot!(refused.join("\n"), @r#"
    `app` is to be started, but it is not in the image: make the path the destination of a `COPY`
    `./nope` is to be started, but it is not in the image: make the path the destination of a `COPY`
    `./app` is to be started, but it is not in the image: make the path the destination of a `COPY`
    the first word of `ENTRYPOINT` or `CMD` is empty: write `ENTRYPOINT ["/app"]`
    `4294967295` is out of the range of users and groups, 0 to 2147483647: choose a number in that range, such as 65532
    `2147483648` is out of the range of users and groups, 0 to 2147483647: choose a number in that range, such as 65532
    `/dev/app` is to be started, but the runtime mounts something else over that folder: copy it elsewhere, such as `/app`
    `app` is to be started, but it is not in the image: make the path the destination of a `COPY`
    "#);
}

#[test]
fn without_a_shell_the_exec_form_is_proposed() {
    let folder = Folder::new();
    let told = |command: &str| {
        let shell = format!("/bin/sh\", \"-c\", \"{command}");
        verdict(folder.build_starting(&shell, PROGRAM))
    };
    insta::assert_snapshot!([told("/app --port 80"), told("[ '/app' ]")].join("\n"), @r#"
    `/bin/sh` is to run `/app --port 80`, but the image has no such shell: use the exec form, as in `ENTRYPOINT ["/app"]`, or start from an image with a shell
    `/bin/sh` is to run `[ '/app' ]`, but the image has no such shell: the list is not valid JSON: write it with double quotes and no comma at the end, as in `ENTRYPOINT ["/app"]`
    "#);
}
