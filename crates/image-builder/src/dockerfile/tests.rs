//! Whole files in, what the packer understands out; and the whole table of errors.

use std::fmt::Write as _;

use super::*;

use crate::Hint as _;
use crate::testing::BUILD;

fn parse(text: &str) -> Result<FinalStage, DockerfileErrors> {
    crate::testing::parse(text).map(|dockerfile| dockerfile.stage)
}

/// The end every file needs.
const START: &str = "\nENTRYPOINT [\"/app\"]";

fn stage(body: &str) -> FinalStage {
    parse(&format!("{BUILD}FROM scratch\n{body}{START}")).unwrap()
}

#[test]
fn the_projects_own_dockerfile() {
    let text = include_str!("../../../../Dockerfile");
    insta::assert_debug_snapshot!(parse(text).unwrap());
}

#[test]
fn everything_at_once() {
    let text = r#"# syntax=docker/dockerfile:1
# escape=\

# A comment
ARG VERSION=1 \
    BASE=scratch
arg REGISTRY="example.org/${VERSION}"

from --platform=$BUILDPLATFORM ${REGISTRY}/rust:${VERSION} as Build
RUN <<EOF
FROM nothing: this is a heredoc
EOF
RUN cat <<-"A B" > x && cat <<'SECOND'
	FROM nothing either
	A B
ENTRYPOINT of nothing
SECOND
RUN cargo build --release && cp target/release/app /out/app
RUN echo $((1<<4)) "<<NOT" \
    # a comment in between

    and more

FROM $BASE AS final
ARG VERSION
ARG TARGETARCH
ARG GREETING='hello $VERSION' NAME=${UNSET:-world}
ENV A=1 B="two words" C=three\ more D='$A'
ENV E=$A-${B} A=2
ENV OLD style  "of value" $A
LABEL "org.example.title"="The $NAME" version=$VERSION empty="" \
      arch=$TARGETARCH
LABEL greeting $GREETING
WORKDIR /srv
WORKDIR data/../files
COPY --from=build --chown=65532:65532 --chmod=0755 /out/app /app
COPY --from=0 --link ["/out/app", "app two"]
COPY --chown=7 a.txt b.txt ./
COPY c.txt /srv/files
COPY d.txt ${UNSET:+never}e
EXPOSE 8080 8443/tcp 53/UDP 9000-9002
EXPOSE 8080/tcp
STOPSIGNAL SIGTERM
USER ${UID:-65532}:65532
ENTRYPOINT ["/app", "--flag=$NOT_REPLACED"]
CMD ["serve"]
"#;
    insta::assert_debug_snapshot!(parse(text).unwrap());
}

#[test]
fn other_directives_may_come_before_that_of_the_escape_character() {
    let head = "# syntax=docker/dockerfile:1\n#check=skip=all\n# escape=`\n";
    let stage = parse(&format!("{head}FROM scratch\nENV A=c:\\x\nCMD [\"/app\"]")).unwrap();
    assert_eq!(stage.env, [("A".to_owned(), "c:\\x".to_owned())]);
}

#[test]
fn the_escape_directive_makes_backslashes_plain() {
    let stage = parse("# escape=`\nFROM scratch\nENV A=c:\\x `\n  B=`$A\nCMD [\"/app\"]").unwrap();
    assert_eq!(
        stage.env,
        [
            ("A".to_owned(), "c:\\x".to_owned()),
            ("B".to_owned(), "$A".to_owned())
        ]
    );
    assert_eq!(stage.entrypoint, None);
}

#[test]
fn a_directive_after_a_comment_is_a_comment() {
    let stage = parse("# plain\n# escape=`\nFROM scratch\nENV A=\"x\\\"y\"\nCMD [\"a\"]").unwrap();
    assert_eq!(stage.env, [("A".to_owned(), "x\"y".to_owned())]);
}

#[test]
fn windows_line_ends_and_byte_order_mark_are_no_matter() {
    let stage = parse("\u{feff}FROM scratch\r\nUSER 1\\\r\n23\r\nCMD [\"/app\"]\r\n").unwrap();
    assert_eq!(stage.user.as_deref(), Some("123"));
}

#[test]
fn words_are_read_as_docker_reads_them() {
    let table = [
        ("$A", "one"),
        ("${A}s", "ones"),
        ("$As", ""),
        ("\\$A", "$A"),
        ("'$A'", "$A"),
        ("\"$A\"", "one"),
        ("\"\\$A \\\\ \\n\"", "$A \\ \\n"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${UNSET-default}", "default"),
        ("${UNSET:-${A}}", "one"),
        ("${UNSET:-'a}b'}", "a}b"),
        ("${A:+yes}", "yes"),
        ("${EMPTY:+yes}", ""),
        ("${EMPTY+yes}", "yes"),
        ("${A:?needed}", "one"),
        ("a$", "a$"),
        ("a$.b", "a$.b"),
        // Parameters of a shell: nobody has set them.
        ("a$$b", "ab"),
        ("a$@b", "ab"),
        ("$1abc", "abc"),
        ("$12", ""),
        ("${1:-one}", "one"),
        ("100%", "100%"),
    ];
    let lookup = |name: &str| match name {
        "A" => Some("one".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    for (word, expected) in table {
        assert_eq!(
            words::expand(word, '\\', 100, &lookup).as_deref(),
            Ok(expected),
            "{word}"
        );
    }
}

#[test]
fn the_path_has_a_value_before_it_is_set() {
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let table = [
        ("ENV PATH=/x:$PATH", format!("/x:{usual}")),
        ("ENV PATH=/x\nENV PATH=$PATH:/y", "/x:/y".to_owned()),
        ("ARG PATH=/a\nENV PATH=/x:$PATH", "/x:/a".to_owned()),
        ("ENV PATH=/x:${PATH:-unset}", format!("/x:{usual}")),
    ];
    for (body, expected) in table {
        let env = stage(body).env;
        assert_eq!(env, [("PATH".to_owned(), expected)], "{body}");
    }
    assert!(stage("ENV A=1").env.iter().all(|(name, _)| name != "PATH"));
}

#[test]
fn destinations_are_absolute_and_say_whether_they_are_folders() {
    let table = [
        ("COPY a /b", "/b"),
        ("COPY a b", "/b"),
        ("COPY a .", "/"),
        ("COPY a /", "/"),
        ("COPY a b/", "/b/"),
        ("WORKDIR /w\nCOPY a .", "/w/"),
        ("WORKDIR /w\nCOPY a b", "/w/b"),
        ("WORKDIR /w\nCOPY a /w", "/w/"),
        ("WORKDIR /w\nWORKDIR ..\nCOPY a ../../etc/x", "/etc/x"),
    ];
    for (body, expected) in table {
        assert_eq!(
            stage(body).copies().next().unwrap().destination,
            expected,
            "{body}"
        );
    }
}

#[test]
fn the_last_of_arg_and_env_counts() {
    let env = stage("ARG A=1\nENV A=2\nARG A=3\nENV B=$A").env;
    assert_eq!(env[1], ("B".to_owned(), "3".to_owned()));
    let env = stage("ARG A=1\nENV A=2\nARG A\nENV B=$A").env;
    assert_eq!(env[1], ("B".to_owned(), "2".to_owned()));
}

#[test]
fn platforms_are_known_once_they_are_declared() {
    let body = "ARG TARGETPLATFORM TARGETSTAGE BUILDOS BUILDARCH\nENV A=$TARGETPLATFORM-$TARGETSTAGE-$BUILDOS B=$BUILDARCH C=$BUILDPLATFORM";
    let env = stage(body).env;
    assert_eq!(env[0].1, "linux/amd64-default-linux");
    let here = Architecture::of_this_machine().unwrap();
    assert_eq!(
        (env[1].1.as_str(), env[2].1.as_str()),
        (here.oci_name(), "")
    );
}

#[test]
fn signals_are_those_of_docker() {
    for signal in ["SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1", "sigquit"] {
        assert_eq!(
            stage(&format!("STOPSIGNAL {signal}"))
                .stop_signal
                .as_deref(),
            Some(signal)
        );
    }
}

#[test]
fn what_only_others_read_is_kept() {
    let stage = stage(
        "VOLUME /data\nVOLUME [\"/a b\"]\nMAINTAINER Me <me@example.org>\nSHELL [\"/sh\", \"-c\"]\n\
         HEALTHCHECK --interval=1m30s --timeout=500ms --retries=2 CMD [\"/app\", \"health\"]",
    );
    assert_eq!(stage.volumes.iter().collect::<Vec<_>>(), ["/a b", "/data"]);
    assert_eq!(stage.author.as_deref(), Some("Me <me@example.org>"));
    assert_eq!(
        stage.health_check.unwrap().0,
        serde_json::json!({
            "Test": ["CMD", "/app", "health"],
            "Interval": 90_000_000_000_u64,
            "Timeout": 500_000_000,
            "Retries": 2,
        })
    );
    // Zero means the default, and is left out.
    let zeros = "--interval=0s --timeout=0 --start-period= --retries=0 CMD x";
    let only_test = serde_json::json!({ "Test": ["CMD-SHELL", "x"] });
    assert_eq!(HealthCheck::parse(zeros).unwrap().0, only_test);
    let check = |text: &str| HealthCheck::parse(text).map(|check| check.0["Test"].clone());
    assert_eq!(check("NONE").unwrap(), serde_json::json!(["NONE"]));
    assert_eq!(
        check("cmd a b").unwrap(),
        serde_json::json!(["CMD-SHELL", "a b"])
    );
    for wrong in [
        "",
        "CMD",
        "NONE x",
        "--interval=5 CMD x",
        "--interval=1us CMD x",
        "--retries=-1 CMD x",
        "--what=1s CMD x",
        "curl x",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn heredocs_and_quotes_are_read_as_docker_reads_them() {
    let heads = [
        "RUN cat <<\\EOF\nFROM x\nEOF\n",
        "RUN cat << EOF\nFROM x\nEOF\n",
        "RUN <<A cat <<B\nFROM x\nA\nFROM y\nB\n",
    ];
    for head in heads {
        let text = format!("{BUILD}{head}FROM scratch\nCOPY --from=\"build\" /out/app /app{START}");
        assert_eq!(parse(&text).unwrap().copies().count(), 1, "{head}");
    }
    // Bytes of another encoding matter in instructions only.
    assert!(parse(&format!("# caf\u{fffd}\nFROM scratch{START}")).is_ok());
}

#[test]
fn a_heredoc_in_copy_is_a_file() {
    let body = "ARG WHO=me\nWORKDIR /w\nCOPY --chmod=0755 <<run.sh <<-'B' one /etc/\n\
        #!/bin/sh\necho \"$WHO\" '${WHO:-you}' \\$WHO a\\b\nrun.sh\n\t\ttabs $WHO\n\tB\n\
        COPY --from=build <<EMPTY x\nEMPTY\n";
    let stage = stage(body);
    let copies: Vec<&CopyInstruction> = stage.copies().collect();
    let file = |name: &str, content: &str| (name.to_owned(), content.to_owned());
    assert_eq!(copies[0].sources, ["one"]);
    assert_eq!(
        copies[0].inline,
        [
            // Quotes stay, and a backslash escapes whatever follows.
            file("run.sh", "#!/bin/sh\necho \"me\" 'me' $WHO ab\n"),
            file("B", "tabs $WHO\n"),
        ]
    );
    assert_eq!(copies[0].destination, "/etc/");
    assert_eq!(copies[1].inline, [file("EMPTY", "")]);
    assert_eq!(copies[1].from, CopySource::Context);
    assert_eq!(copies[1].destination, "/w/x");
    // The line breaks are those of the file.
    let text = format!("FROM scratch\nCOPY <<A /a\r\nb\r\nA\r{START}");
    let stage = parse(&text).unwrap();
    assert_eq!(stage.copies().next().unwrap().inline, [file("A", "b\r\n")]);
    // Of two with the same name, the last has the content of both.
    let text = "FROM scratch\nCOPY <<A <<-'A' /a/\nx\nA\n\t${Z:-y}\n\tA".to_owned() + START;
    let stage = parse(&text).unwrap();
    let inline = [file("A", "\ty\n"), file("A", "${Z:-y}\n")];
    assert_eq!(stage.copies().next().unwrap().inline, inline);
    // None can be the destination.
    for words in ["a b <<A", "<<A", "<<A <<A"] {
        let texts = "x\nA\n".repeat(words.matches('A').count());
        let errors = parse(&format!("FROM scratch\nCOPY {words}\n{texts}{START}")).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "line 2: `COPY` lacks an argument",
            "{words}"
        );
    }
}

#[test]
fn a_stage_inherits_the_arguments_of_its_parent() {
    let text = format!(
        "ARG GLOBAL=g\nARG BOTH=outer\nFROM scratch AS a\nARG X=1 Y=y\nARG BOTH=inner\nENV E=e\n\
         FROM a AS b\nARG X\nLABEL b=$X$Y\nFROM scratch AS other\nLABEL other=.$X\n\
         FROM b\nLABEL c=$X$Y$E.$GLOBAL d=$BOTH\nARG BOTH\nARG X=2\nLABEL e=$X f=$BOTH{START}"
    );
    let labels = parse(&text).unwrap().labels;
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    // An `ARG` without a value takes the global one.
    assert_eq!(labels, ["b=1y", "c=1ye.", "d=inner", "e=2", "f=outer"]);
    // So do build stages, whose variables are those of the compiler.
    let text = "FROM rust AS base\nARG LEVEL=3\nFROM base AS build\nARG LEVEL\nRUN cargo build --release --features l$LEVEL";
    let built = build_of(text, "/target/release/app");
    assert!(built.starts_with("release [\"l3\"]"), "{built}");
}

#[test]
fn a_stage_is_chosen_as_with_docker() {
    let text = "FROM scratch AS web\nARG TARGETSTAGE\nLABEL a=$TARGETSTAGE\nCMD [\"/web\"]\nFROM scratch AS last\nRUN x\nCMD [\"/last\"]";
    let chosen = |stage| {
        let request = Request {
            architecture: crate::Architecture::X86_64,
            package: "app",
            program: "app",
            stage: Some(stage),
            args: &BTreeMap::new(),
            bases: &BTreeMap::new(),
        };
        let parsed = Dockerfile::parse(text, &request);
        parsed.map_err(|errors| (errors.to_string(), errors.need_docker()))
    };
    for name in ["web", "WEB", "0"] {
        let stage = chosen(name).unwrap().stage;
        assert_eq!(stage.cmd.unwrap(), ["/web"]);
        assert_eq!(stage.labels["a"], name);
    }
    assert!(chosen("last").unwrap_err().1);
    let (said, needs_docker) = chosen("other").unwrap_err();
    assert_eq!(said, "no stage is called `other`");
    assert!(!needs_docker);
}

/// The profile, features, variables and flags that cargo gets, and what is noted.
fn build_of(stages: &str, path: &str) -> String {
    let text = format!("{stages}\nFROM scratch\nCOPY --from=build {path} /app{START}");
    match crate::testing::parse(&text) {
        Ok(Dockerfile { build, notes, .. }) => {
            let CargoBuild {
                profile,
                features,
                no_default_features,
                all_features,
                environment,
                rustflags,
            } = build;
            let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
            format!(
                "{} {features:?} {no_default_features} {all_features} {environment:?} {rustflags:?} {notes:#?}",
                profile.unwrap_or_default(),
            )
        }
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_branch_for_another_processor_is_not_taken() {
    let body = "FROM rust AS build\nRUN if [ \"$TARGETARCH\" = arm64 ]; then cargo build --release --features x --target aarch64-unknown-linux-gnu; else cargo build --release --features y; fi";
    let built = build_of(body, "/target/release/app");
    assert_eq!(built, "release [\"y\"] false false {} [] []");
}

#[test]
fn what_the_build_stage_tells_cargo_is_taken_over_or_noted() {
    let release = "/src/target/release/app";
    let table = [
        (
            "WORKDIR /src\nENV APP_MODE=production\nARG LEVEL=2\nRUN cargo build --release --features postgres,tls -F \"a b\"",
            release,
        ),
        (
            "RUN --mount=type=cache,target=/x APP=1 cargo b -r --no-default-features --all-features --locked -j 4",
            release,
        ),
        (
            "RUN cargo build --profile dist --target x86_64-unknown-linux-musl",
            "/target/x86_64-unknown-linux-musl/dist/app",
        ),
        ("RUN cargo build", "/target/debug/app"),
        (
            "RUN cargo install --path . --root /usr/local",
            "/usr/local/bin/app",
        ),
        ("RUN [\"cargo\", \"build\", \"--release\"]", release),
        (
            "RUN <<EOF\nset -e\nexport MODE=x\nif true; then cargo build --release; fi\nEOF",
            release,
        ),
        // The layer of dependencies first, as many do.
        (
            "RUN mkdir src && echo 'fn main() {}' > src/main.rs && cargo build --release --features old\nCOPY . .\nRUN touch src/main.rs && cargo build --release --features new",
            release,
        ),
        (
            "RUN cargo build --release --bin app --features x && cargo build --release --bin other --features y",
            release,
        ),
        (
            "ENV RUSTFLAGS=\"-C target-cpu=x86-64-v3 -Ctarget-feature=+crt-static -C link-arg=-s --cfg tokio_unstable\"\nRUN cargo build --release",
            release,
        ),
        (
            "ENV PATH=/x CARGO_HOME=/y DEBIAN_FRONTEND=none CC_x86_64=gcc\nRUN apt-get update && cargo build --release",
            release,
        ),
        (
            "RUN npm ci && npm run build && cargo +nightly build --release --manifest-path api/Cargo.toml -Z x --config a=1",
            release,
        ),
        // Settings of cargo that only the build stage has.
        (
            "ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=\"-Clink-arg=-s -Ctarget-cpu=x86-64-v2\" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Copt-level=1\nRUN cargo build --release",
            release,
        ),
        (
            "ENV RUSTFLAGS=-Copt-level=1\nENV RUSTFLAGS=-Copt-level=2\nRUN cargo build --release",
            release,
        ),
        (
            "RUN --mount=type=secret,id=token --mount=type=bind,from=web,target=/web --mount=type=cache,target=/x cargo build --release",
            release,
        ),
        (
            "RUN mkdir .cargo && printf '[build]' > .cargo/config.toml && cargo build --release",
            release,
        ),
        // What only a shell can tell, and what one of several branches does.
        (
            "ARG MODE EXTRA=\nRUN cargo build --release $EXTRA ${MODE:+--features} $MODE $(echo --locked) --features \"$UNKNOWN\"",
            release,
        ),
        (
            "RUN flags=\"--features a\"; cargo build --release $flags",
            release,
        ),
        (
            "RUN if [ -n \"$A\" ]; then flags=--features=a; export MODE=x; fi; cargo build --release $flags",
            release,
        ),
        (
            "RUN case \"$TARGETARCH\" in amd64|x86) cargo build --release --features a ;; *) cargo build --release --features b ;; esac && cargo --version",
            release,
        ),
        (
            "RUN T=$(case \"$TARGETARCH\" in amd64) echo a ;; *) exit 1 ;; esac) && cargo build --release --target $T",
            release,
        ),
        (
            "RUN xx-cargo build --release && cargo --print-target-triple",
            release,
        ),
        (
            "COPY --from=web /dist dist\nCOPY --from=node:20 /x /x\nRUN rustup default nightly && cargo sqlx prepare && cargo build --release --target wasm32-wasi",
            release,
        ),
    ];
    let mut said = String::new();
    for (body, path) in table {
        let stages = format!("FROM node AS web\nRUN npm run build\nFROM rust AS build\n{body}");
        writeln!(said, "{}\n", build_of(&stages, path)).unwrap();
    }
    // Stages that follow one another, as with cargo-chef.
    let chef = "FROM rust AS chef\nENV A=1\nRUN cargo install cargo-chef\nFROM chef AS planner\nRUN cargo chef prepare\n\
        FROM chef AS build\nCOPY --from=planner recipe.json recipe.json\nRUN cargo chef cook --release\nRUN cargo build --release";
    writeln!(said, "{}", build_of(chef, release)).unwrap();
    insta::assert_snapshot!(said);
}

/// The same as one line: profile, features, variables, flags and notes, each if there are any.
fn brief(body: &str, path: &str) -> String {
    let text =
        format!("FROM rust AS build\n{body}\nFROM scratch\nCOPY --from=build {path} /app{START}");
    let Dockerfile { build, notes, .. } = crate::testing::parse(&text).unwrap();
    let mut said = vec![build.profile.unwrap_or_default()];
    said.extend(build.features);
    said.extend(
        build
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    said.extend(build.rustflags);
    said.extend(notes.iter().map(|note| {
        let words: Vec<&str> = note.text.split(' ').take(4).collect();
        format!("({})", words.join(" "))
    }));
    said.join(" ")
}

#[test]
fn conditions_that_the_text_decides_are_evaluated() {
    let table = [
        // Both branches, of which the platform decides.
        (
            "ARG TARGETPLATFORM\nRUN if [ \"$TARGETPLATFORM\" = linux/amd64 ]; then export RUSTFLAGS=\"-C target-cpu=x86-64-v3\"; fi && cargo build -r",
            "release -Ctarget-cpu=x86-64-v3",
        ),
        (
            "ARG TARGETARCH\nRUN case \"$TARGETARCH\" in arm64) F=a ;; amd64|x86) F=b ;; *) F=c ;; esac; cargo build -r -F $F",
            "release b",
        ),
        (
            "ARG TARGETPLATFORM\nRUN case $TARGETPLATFORM in linux/arm*) F=a;; (linux/*) F=b;; esac\\\n && cargo build -r -F $F",
            "release b",
        ),
        (
            "ARG TARGETARCH\nRUN if test x$TARGETARCH = xarm64; then F=a; elif [ -n \"$TARGETARCH\" -a 1 ]; then F=b; elif true; then F=c; fi; cargo build -r $F",
            "release (`$F` of `cargo build`)",
        ),
        (
            "RUN if false; then F=a; elif [[ release == rel* ]]; then F=b; else F=c; fi; cargo build -r -F $F",
            "release b",
        ),
        (
            "RUN if [ ! -z \"$X\" ]; then cargo build; elif ! true; then cargo build -F b; else cargo build -r -F c; fi",
            "release c",
        ),
        // Lists.
        (
            "RUN test \"$X\" = 1 && F=a; cargo build -r ${F:+-F $F}",
            "release",
        ),
        (
            "ARG X=1\nRUN test \"$X\" = 1 && F=a; cargo build -r ${F:+-F $F}",
            "release a X=1",
        ),
        (
            "RUN [ \"$X\" = 1 ] && export MODE=prod; cargo build -r",
            "release",
        ),
        (
            "RUN [[ -f x && -n $Y ]] && F=\"-F a\" || F=\"\"; cargo build -r $F",
            "release (`$F` of `cargo build`)",
        ),
        (
            "ARG E=prod\nRUN [ \"$E\" = prod ] && cargo build -r || cargo build -r -F other",
            "release E=prod",
        ),
        (
            "RUN [ \"$E\" = prod ] && cargo build -r || cargo build -r -F other",
            "release other",
        ),
        ("RUN cargo build -r || cargo build -r -F other", "release"),
        (
            "RUN apt-get update && (cd x && make -v | cat) && { cargo build -r -F a; }",
            "release a (`make` is not run)",
        ),
        ("RUN true && \\\n # no\n cargo build -r -F a", "release a"),
        (
            "RUN if grep -q x y; then export MODE=x; fi; cargo build -r",
            "release (`MODE` is set under)",
        ),
        (
            "RUN command -v lld && export RUSTFLAGS=-Copt-level=1; cargo build -r",
            "release (`RUSTFLAGS` is set under)",
        ),
        (
            "RUN while false; do F=a; done; if [ -z $F ]; then cargo build -r; fi && true",
            "release",
        ),
        (
            "RUN while read x; do export MODE=$x; done < y && cargo build -r",
            "release (`MODE` is set under) (`read` is not run)",
        ),
        (
            "RUN for F in a b; do cargo build -r -F $F; done",
            "release (`-F $F` of `cargo)",
        ),
        // Nothing of this ends.
        (
            "RUN if true; then ( { case x in x) cargo build -r",
            "release",
        ),
        ("RUN fi; done; esac; ) } && cargo build -r", "release"),
    ];
    for (body, expected) in table {
        assert_eq!(brief(body, "/target/release/app"), expected, "{body}");
    }
}

#[test]
fn what_only_a_shell_knows_reaches_neither_program_nor_compiler() {
    let table = [
        (
            "RUN GIT_SHA=$(git rev-parse HEAD) cargo build -r",
            "release (`GIT_SHA` has a value)",
        ),
        (
            "RUN export GIT_SHA=`git rev-parse HEAD` && cargo build -r",
            "release (`GIT_SHA` has a value)",
        ),
        (
            "RUN RUST=\"$RUST_VERSION\" cargo build -r",
            "release (`RUST` has a value)",
        ),
        ("RUN V=${V:-dev} cargo build -r", "release V=dev"),
        (
            "RUN FOO=1; export FOO; BAR=2; cargo build -r",
            "release FOO=1",
        ),
        (
            "RUN env -u X FOO=1 nice -n 5 cargo build -r",
            "release FOO=1",
        ),
        (
            "RUN RUSTFLAGS=\"$RUSTFLAGS --cfg tokio_unstable\" cargo build -r",
            "release --cfg=tokio_unstable",
        ),
        (
            "RUN RUSTFLAGS=\"-C target-cpu=$(cat cpu) -Copt-level=2 $(cat more)\" cargo build -r",
            "release -Copt-level=2 (`$(cat more)` of `RUSTFLAGS`) (`-C target-cpu=$(cat cpu)` of)",
        ),
        (
            "ENV RUSTFLAGS=\"-C target-feature=+aes,+sse4.2,+crt-static -Ctarget-feature=-crt-static\"\nRUN cargo build -r",
            "release -Ctarget-feature=+aes,+sse4.2",
        ),
        (
            "ENV CARGO_ENCODED_RUSTFLAGS=\"--cfg\u{1f}a b\"\nRUN cargo build -r",
            "release --cfg=a b",
        ),
        ("ENV RUSTUP_TOOLCHAIN=1.95.0\nRUN cargo build -r", "release"),
        (
            "ENV RUSTUP_TOOLCHAIN=nightly\nRUN cargo build -r",
            "release (`RUSTUP_TOOLCHAIN=nightly` is not done:)",
        ),
        (
            "ARG FEATURES=\"a,b\"\nRUN cargo build -r ${FEATURES:+--features $FEATURES}",
            "release a b FEATURES=a,b",
        ),
        (
            "RUN A=(x y); cargo build -r \"${A[@]}\"",
            "release (`\"${A[@]}\"` of `cargo build`)",
        ),
        (
            "RUN cargo rustc -r -- -C target-cpu=x86-64-v3",
            "release (`-- -C target-cpu=x86-64-v3` of)",
        ),
    ];
    for (body, expected) in table {
        assert_eq!(brief(body, "/target/release/app"), expected, "{body}");
    }
}

#[test]
fn the_folder_tells_the_profile_and_the_call() {
    let release = "/src/target/release/app";
    let table = [
        (
            "RUN cargo build $(test \"$P\" = release && echo --release)",
            release,
            "release (`$(test  = release)",
        ),
        (
            "RUN cargo build --profile ${P:-release}",
            release,
            "release",
        ),
        (
            "RUN flag=$([ x ] && echo --release); cargo build $flag",
            release,
            "release (`$flag` of `cargo build`)",
        ),
        ("RUN cargo build -rv -F a", release, "release a"),
        ("RUN cargo build -vrF a", release, "release a"),
        ("RUN cargo build -rp app", release, "release"),
        ("RUN cargo build -rvp=app@0.1.0", release, "release"),
        // Of several calls, the one that puts it there.
        (
            "RUN cargo build --release -F a\nRUN cargo build -F b",
            release,
            "release a",
        ),
        (
            "RUN cargo build --release -F a\nRUN cargo build -F b",
            "/target/debug/app",
            "dev b",
        ),
        (
            "RUN cargo build -F b && cargo build --profile dist -F a && cp target/debug/app /x && mv /x /y/",
            "/y/x",
            "dev b",
        ),
        (
            "RUN cargo build --target x86_64-unknown-linux-musl --profile bench",
            "/target/x86_64-unknown-linux-musl/release/app",
            "bench",
        ),
        // Calls that do not compile the program.
        (
            "RUN cargo build -r -F a && cargo build -r --lib",
            release,
            "release a",
        ),
        (
            "RUN cargo build -r -F a && cargo build --tests && cargo build -r --examples --benches",
            release,
            "release a",
        ),
        (
            "RUN cargo build -r -F a && cargo build -r --workspace --exclude app -F b",
            release,
            "release a",
        ),
        ("RUN cargo build -r --bins --lib -F a", release, "release a"),
        (
            "RUN cargo build -r --lib --bin app -F a && cargo build -r --bin other -F b",
            release,
            "release a",
        ),
    ];
    for (body, path, expected) in table {
        assert_eq!(
            brief(&format!("WORKDIR /src\n{body}"), path),
            expected,
            "{body}"
        );
    }
}

#[test]
fn the_program_is_taken_from_where_cargo_puts_it_alone() {
    let at = |run: &str, path: &str| {
        let said = build_of(&format!("FROM rust AS build\nWORKDIR /src\n{run}"), path);
        !said.contains("line ")
    };
    let build = "RUN cargo build --release";
    let fine = [
        (build, "/src/target/release/app"),
        (
            "RUN cargo build --release && cp target/release/app /out/",
            "/out/app",
        ),
        (
            "RUN cargo build --release && mv target/release/app ./server",
            "/src/server",
        ),
        (
            "RUN cargo build --release && cp target/release/app /a && strip /a && cp /a /b",
            "/b",
        ),
        (
            "RUN cargo build --release\nRUN install -m 755 target/release/app /usr/bin",
            "/usr/bin/app",
        ),
        ("RUN cargo install --path .", "/usr/local/cargo/bin/app"),
        // Another target folder.
        (
            "ENV CARGO_TARGET_DIR=/out\nRUN cargo build -r",
            "/out/release/app",
        ),
        (
            "RUN cargo build -r --target-dir=out",
            "/src/out/release/app",
        ),
        (
            "RUN export CARGO_TARGET_DIR=/t && cargo build --target x86_64-unknown-linux-musl",
            "/t/x86_64-unknown-linux-musl/debug/app",
        ),
        // Other ways to copy.
        ("RUN cargo build -r && strip -o /x target/release/app", "/x"),
        ("RUN cargo build -r && strip target/release/app -o /x", "/x"),
        (
            "RUN cargo build -r && install -Dm755 -t /usr/bin target/release/app",
            "/usr/bin/app",
        ),
        (
            "RUN cargo build -r && cp -vt /x target/release/app 2>/dev/null",
            "/x/app",
        ),
        (
            "RUN cargo build -r && cp --target-directory=/x target/release/app",
            "/x/app",
        ),
        ("RUN cargo build -r && cp target/release/a* /x/", "/x/app"),
        ("RUN cargo build -r && mv ./target/release/* /x", "/x/app"),
        ("RUN cargo build -r && cp -r target/release /x", "/x/app"),
        (
            "RUN cargo build -r && cp -r target/release/ /x/",
            "/x/release/app",
        ),
        (
            "RUN cargo build -r && for p in app tool; do cp target/release/$p /x/$p; done",
            "/x/app",
        ),
        (
            "RUN cargo build -r && for p in app tool; do cp \"target/release/$p\" /x/; done",
            "/x/app",
        ),
        // Other folders and shells.
        (
            "RUN cd api && cargo build -r && cp target/release/app ../x",
            "/src/x",
        ),
        (
            "RUN (cd api && true) && cargo build -r && cp target/release/app x",
            "/src/x",
        ),
        (
            "RUN cd a && cd ../b && cargo build -r --target-dir t",
            "/src/b/t/release/app",
        ),
        (
            "RUN sh -c 'cd /x && cargo build -r && mv target/release/app app'",
            "/x/app",
        ),
        (
            "RUN [\"/bin/bash\", \"-euxo\", \"pipefail\", \"-c\", \"cargo build -r\"]",
            "/src/target/release/app",
        ),
        (
            "RUN bash <<EOF\ncargo build -r && cp target/release/app /x\nEOF",
            "/x",
        ),
        (
            "RUN cargo build --release --artifact-dir /out -Z unstable-options",
            "/out/app",
        ),
    ];
    for (run, path) in fine {
        let run = run.replace(" -Z unstable-options", "");
        assert!(at(&run, path), "{run} {path}");
    }
    let refused = [
        (build, "/etc/app"),
        (build, "/srv/web/app"),
        (build, "/src/target/release/other"),
        (build, "/src/target/release"),
        ("RUN cargo build -r && cp target/release/app /x/", "/x"),
        ("RUN cargo build -r && cp target/release/b* /x/", "/x/app"),
        ("RUN cargo build -r && cp assets/* /x/", "/x/app"),
        (
            "RUN cargo build -r && cp -r target/release/build /x/",
            "/x/app",
        ),
        (
            "RUN cargo build -r && strip target/release/app /y/x",
            "/y/x",
        ),
        ("ENV CARGO_TARGET_DIR=/out\nRUN cargo build -r", "/out/app"),
        (
            "ARG A='sh -c \"$A\"'\nRUN sh -c '$A'",
            "/target/release/app",
        ),
        ("RUN make", "/src/target/release/app"),
        ("RUN cargo test && cp x /out/app", "/out/app"),
        (
            "RUN cargo build --release --bin other",
            "/src/target/release/app",
        ),
    ];
    for (run, path) in refused {
        assert!(!at(run, path), "{run} {path}");
    }
}

#[test]
fn a_base_gives_its_settings() {
    let settings = FinalStage {
        env: vec![("PATH".to_owned(), "/opt:/bin".to_owned())],
        user: Some("nonroot".to_owned()),
        entrypoint: Some(vec!["/base".to_owned()]),
        cmd: Some(vec!["--base".to_owned()]),
        working_dir: Some("/home".to_owned()),
        ..FinalStage::default()
    };
    let bases = [("base:1".to_owned(), Arc::new(settings))].into();
    let request = Request {
        architecture: Architecture::X86_64,
        package: "app",
        program: "app",
        stage: None,
        args: &BTreeMap::new(),
        bases: &bases,
    };
    let read = |body: &str| {
        let text = format!("ARG TAG=1\n{BUILD}FROM base:$TAG\n{body}");
        Dockerfile::parse(&text, &request).unwrap().stage
    };
    let stage = read("ENV PATH=/x:$PATH\nWORKDIR sub\nCOPY --from=other:2 /x /y");
    assert_eq!(
        stage.base_images().into_iter().collect::<Vec<_>>(),
        ["base:1", "other:2"]
    );
    assert_eq!(stage.env[0].1, "/x:/opt:/bin");
    assert_eq!(stage.working_dir.as_deref(), Some("/home/sub"));
    assert_eq!(
        (stage.user.as_deref(), stage.entrypoint, stage.cmd),
        (
            Some("nonroot"),
            Some(vec!["/base".to_owned()]),
            Some(vec!["--base".to_owned()])
        )
    );
    // A new `ENTRYPOINT` is not given the base's arguments; the shell form has the base's shell.
    assert_eq!(read("ENTRYPOINT [\"/app\"]").cmd, None);
    assert_eq!(
        read("CMD [\"a\"]\nENTRYPOINT [\"/app\"]").cmd,
        Some(vec!["a".to_owned()])
    );
    assert_eq!(
        read("CMD exec /app").cmd.unwrap(),
        ["/bin/sh", "-c", "exec /app"]
    );
    let shell = read("SHELL [\"/busybox\", \"-c\"]\nCMD /app");
    assert_eq!(shell.cmd.unwrap(), ["/busybox", "-c", "/app"]);
}

/// Every error, with its line and its remedy; `Docker` where Docker can do it.
#[test]
fn errors() {
    let within = |body: &str| format!("{BUILD}FROM scratch\n{body}{START}");
    let files = [
        String::new(),
        "# escape=x\nFROM scratch".to_owned(),
        "RUN true\nFROM scratch\nCMD [\"/app\"]".to_owned(),
        "FROM rust\nRUNN true\nFROM scratch\nCMD [\"/app\"]".to_owned(),
        "FROM rust\nRUN <<EOF\nnever ends\nFROM scratch".to_owned(),
        "FROM\nCMD [\"/app\"]".to_owned(),
        "FROM scratch\nUSER 1".to_owned(),
        "FROM scratch\nENTRYPOINT []".to_owned(),
        "FROM scratch\nCMD [\"/app\"]\nCMD []".to_owned(),
        "FROM scratch\n\n# why\nENTRYPOINT /app --port 8080".to_owned(),
        "FROM scratch\nCMD [\"/app\"".to_owned(),
        "FROM scratch\nCMD".to_owned(),
        // All of them at once.
        within("RUN apt-get install curl\nEXPOSE 0\nADD https://example.org/x /x"),
        within("HEALTHCHECK --interval=often CMD true"),
        within("SHELL sh"),
        within("VOLUME"),
        within(&"LABEL a=b\n".repeat(4096)),
        within("EXPOSSE 80"),
        within("ENV A=\"open"),
        within("ENV A=${B/c/d}"),
        within("ENV A=${B"),
        within(&format!(
            "ENV A={}{}",
            "${B:-".repeat(50_000),
            "}".repeat(50_000)
        )),
        within(&format!("ENV A=1234567890\n{}", "ENV A=$A$A\n".repeat(19))),
        within("ENV A=\"${B:?the version to serve}\""),
        within("ENV"),
        within("ENV A"),
        within("ENV A=1 B"),
        within("LABEL =x"),
        within("EXPOSE"),
        within("EXPOSE http"),
        within("EXPOSE 80/quic"),
        within("USER"),
        within("EXPOSE 80\nARG PORTS=\"80 443\"\nEXPOSE \"$PORTS\""),
        within("STOPSIGNAL $UNSET"),
        within("ONBUILD"),
        within("ONBUILD FROM scratch"),
        within("ONBUILD MAINTAINER me"),
        within("onbuild ONBUILD RUN x"),
        "ONBUILD ARG X\nFROM scratch\nCMD [\"/app\"]".to_owned(),
        "FROM scratch AS a\nONBUILD COPPY a b\nFROM a\nCMD [\"/app\"]".to_owned(),
        "FROM debian\nCMD [\"/app\", ]".to_owned(),
        "FROM scratch\nENTRYPOINT ['/app']".to_owned(),
        within("COPY /x"),
        within("COPY --from=build"),
        within("ADD --from=build a /b"),
        within("ADD --checksum=sha256:0 a /b"),
        within("ADD git@example.org:a/b.git /b"),
        format!("{BUILD}FROM --platform=linux/arm64/v8 debian:12\nCMD [\"/app\"]"),
        within("COPY a b \\\n  # both\n  /c"),
        within("COPY --from=$STAGE /x /x"),
        within("COPY --from= /x /x"),
        within("COPY --chown=1x:app a /b"),
        within("COPY --chmod=u+x a /b"),
        within("COPY --chmod=99999 a /b"),
        within("COPY --parents a/b /c"),
        within("COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/"),
        within("COPY --from=build /src/target/release/server /"),
        within("COPY --from=build /src/target/release/ /src/target/release/app* /"),
        within("COPY --from=build /src/target/site /"),
        within("COPY --from=build /usr/share/zoneinfo/ /usr/share/zoneinfo/"),
        within("COPY --from=build /etc/passwd /etc/group /etc/"),
        format!(
            "FROM upx AS pack\nRUN upx x\n{}",
            within("COPY --from=pack /etc/app /etc/app")
        ),
        within("LABEL caf\u{fffd}=1"),
        within("STOPSIGNAL SIGFOO"),
        within("STOPSIGNAL 0"),
        within("STOPSIGNAL A B"),
    ];
    let mut table = String::new();
    for file in files {
        let errors = parse(&file).expect_err(&file);
        let docker = if errors.need_docker() { "Docker: " } else { "" };
        for error in &errors.0 {
            let hint = error.hint().unwrap();
            writeln!(table, "{docker}{error}\n    {hint}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn arguments_are_given_as_to_docker() {
    let args =
        [("TAG", "2"), ("MODE", "fast")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let args = args.into();
    let bases = BTreeMap::new();
    let request = Request {
        architecture: Architecture::X86_64,
        package: "app",
        program: "app",
        stage: None,
        args: &args,
        bases: &bases,
    };
    let text = "ARG TAG=1\nFROM rust:$TAG AS build\nARG MODE=slow OTHER=x\nRUN cargo build --release\n\
        FROM scratch\nARG TAG\nLABEL tag=$TAG mode=$MODE\nCOPY --from=build /target/release/app /app\nENTRYPOINT [\"/app\"]";
    let read = Dockerfile::parse(text, &request).unwrap();
    assert_eq!(read.stage.labels["tag"], "2");
    // Declared in the other stage only.
    assert_eq!(read.stage.labels["mode"], "");
    let environment = &read.build.environment;
    assert_eq!(
        (environment["MODE"].as_str(), environment["OTHER"].as_str()),
        ("fast", "x")
    );
    let errors = Dockerfile::parse(&text.replace("MODE=slow", "MOOD=slow"), &request).unwrap_err();
    assert_eq!(errors.to_string(), "no `ARG` declares `MODE`");
}

#[test]
fn local_files_may_be_added_and_patterns_copied() {
    let stage = stage("ADD --chown=1 a b /c/\nCOPY *.toml [x]?/y /d/");
    let copies: Vec<_> = stage.copies().collect();
    assert_eq!((copies[0].unpacks, copies[1].unpacks), (true, false));
    assert_eq!(copies[0].sources, ["a", "b"]);
    assert_eq!(copies[1].sources, ["*.toml", "[x]?/y"]);
    // An earlier stage that only adds is read as well.
    let text =
        format!("{BUILD}FROM scratch AS web\nADD a /a\nFROM scratch\nCOPY --from=web /a /a{START}");
    assert_eq!(parse(&text).unwrap().copies().count(), 1);
}

#[test]
fn triggers_run_in_the_stages_that_are_built_on_theirs() {
    let read = |text: &str| {
        let read = crate::testing::parse(&format!("{BUILD}{text}{START}"));
        let Dockerfile { stage, notes, .. } = read.map_err(|errors| errors.to_string())?;
        Ok::<_, String>((stage, notes.iter().map(ToString::to_string).collect()))
    };
    let base = "FROM scratch AS base\nARG WHO=me\nUSER 5\nONBUILD COPY <<A one /etc/\ntext\nA\n\
        ONBUILD ENV A=$WHO\nonbuild USER 7\nONBUILD COPY --from=build /out/app /app\n";
    let (stage, notes): (_, Vec<String>) = read(&format!("{base}FROM base\nENV B=$A")).unwrap();
    assert_eq!(notes, [""; 0]);
    assert_eq!(stage.user.as_deref(), Some("7"));
    let env = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(stage.env, [env("A", "me"), env("B", "me")]);
    let copies: Vec<_> = stage.copies().collect();
    assert_eq!(copies[0].inline, [("A".to_owned(), "text\n".to_owned())]);
    assert_eq!(copies[1].from, CopySource::Program("build".to_owned()));
    // Once: not in the stage after that, nor in their own.
    let further = "FROM base AS next\nENV A=other\nFROM next";
    let (stage, _): (_, Vec<String>) = read(&format!("{base}{further}")).unwrap();
    assert_eq!((stage.env, stage.steps.len()), (vec![env("A", "other")], 2));
    let (stage, notes): (_, Vec<String>) = read(base).unwrap();
    assert_eq!((stage.user.as_deref(), stage.steps.len()), (Some("5"), 0));
    assert_eq!(notes.len(), 4);
    assert_eq!(
        notes[1],
        "line 9: `ONBUILD` is left out: nothing is built on this image"
    );
    let refused: Result<(FinalStage, Vec<String>), _> =
        read("FROM scratch AS base\nONBUILD RUN make\nFROM base");
    assert_eq!(
        refused.unwrap_err(),
        "line 4: `RUN` in the final stage needs Docker"
    );
    // In a stage that compiles as well.
    let built =
        "FROM rust AS base\nONBUILD ARG F=x\nONBUILD RUN cargo build -r -F $F\nFROM base AS build";
    let built = build_of(built, "/target/release/app");
    assert!(built.starts_with("release [\"x\"]"), "{built}");
}

#[test]
fn variables_may_be_several_words_or_none() {
    let read = |body: &str| {
        let stage = stage(&format!("ARG PORTS=\"80 443/udp\"\n{body}"));
        let ports: Vec<String> = stage
            .exposed_ports
            .iter()
            .map(ToString::to_string)
            .collect();
        (ports.join(" "), stage.user, stage.working_dir)
    };
    let ports = |ports: &str| (ports.to_owned(), None, None);
    assert_eq!(
        read("EXPOSE $PORTS 8${UNSET}"),
        ports("80/tcp 443/udp 8/tcp")
    );
    assert_eq!(read("EXPOSE ${UNSET}"), ports(""));
    for user in ["$UNSET", "''"] {
        assert_eq!(read(&format!("USER 5\nUSER {user}")), ports(""), "{user}");
    }
    let (_, _, folder) = read("WORKDIR /a\nWORKDIR $UNSET");
    assert_eq!(folder.as_deref(), Some("/a"));
}

/// Errors of a final stage with these lines, each with its hint.
fn said(build: &str, end: &str) -> String {
    let text = format!("FROM rust AS build\n{build}\nFROM scratch\n{end}{START}");
    let errors = parse(&text).unwrap_err();
    assert!(errors.need_docker());
    let errors = errors.0.iter();
    let errors = errors.map(|error| format!("{}: {}", error.problem, error.hint().unwrap()));
    errors.collect::<Vec<_>>().join("\n")
}

#[test]
fn of_several_programs_no_hint_leads_to_another() {
    let all = "RUN cargo build -r";
    let two = [
        (
            all,
            "COPY --from=build /target/release/app /target/release/worker /",
        ),
        (
            all,
            "COPY --from=build /target/release/worker /\nCOPY --from=build /target/release/app /",
        ),
        (
            "RUN cargo build -r && mkdir /out && cp target/release/app target/release/worker /out/",
            "COPY --from=build /out/app /out/worker /",
        ),
        (
            "RUN cargo build -r -p worker && cargo build -r -p app",
            "COPY --from=build /target/release/worker /target/release/app /",
        ),
        (
            "RUN cargo build -r --bin app\nFROM rust AS other\nRUN cargo build -r --bin worker",
            "COPY --from=build /target/release/app /\nCOPY --from=other /target/release/worker /",
        ),
    ];
    for (build, end) in two {
        assert_eq!(
            said(build, end),
            "the image takes several programs, `app`, `worker`, which needs Docker: \
             build with Docker: `--builder docker`; or give each program an image of its own",
            "{build} {end}"
        );
    }
    // Neither of them is the one that is meant.
    let end = "COPY --from=build /target/release/worker /target/release/tool /bin/\nCOPY --from=build /target/release/tool /";
    let said_of = said(all, end);
    assert!(
        said_of.starts_with("the image takes several programs, `tool`, `worker`"),
        "{said_of}"
    );
    let one = said(all, "COPY --from=build /target/release/worker /");
    assert!(one.contains("set `binary = \"worker\"`"), "{one}");
}

#[test]
fn an_argument_without_a_value_is_named() {
    let build = "ARG BIN\nRUN cargo build -r --bin $BIN && mv target/release/${BIN} /server";
    let declared = "set `args = { BIN = \"…\" }` under `[image]` in `deployer.toml`";
    let table = [
        (
            build,
            "COPY --from=build /server /",
            format!("`/server` depends on `BIN`, which has no value here: {declared}"),
        ),
        (
            "ARG BIN\nRUN <<EOF\ncargo build -r\nmv target/release/$BIN /server\nEOF",
            "COPY --from=build /server /",
            format!("`/server` depends on `BIN`, which has no value here: {declared}"),
        ),
        (
            "RUN cargo build -r",
            "ARG BIN\nCOPY --from=build /target/release/$BIN /app",
            format!("`/target/release/$BIN` depends on `BIN`, which has no value here: {declared}"),
        ),
        (
            build,
            "COPY --from=build /target/release/$BIN /app",
            "`/target/release/$BIN` depends on `BIN`, which has no value here: add `ARG BIN` below the `FROM` of this stage; \
             its value is a default, or one of `args` under `[image]` in `deployer.toml`"
                .to_owned(),
        ),
    ];
    for (build, end, expected) in table {
        assert_eq!(said(build, end), expected, "{build} {end}");
    }
    // A default, and variables of the script, are no reason.
    let fine =
        "ARG BIN\nRUN B=app; cargo build -r --bin ${BIN:-app} && mv target/release/$B /server";
    let fine = said(fine, "COPY --from=build /etc/x /");
    assert!(fine.contains("is not where cargo puts"), "{fine}");
}

/// What is noted of a stage that compiles behind these lines.
fn noted(body: &str) -> Vec<String> {
    let text = format!(
        "FROM rust AS build\nWORKDIR /app\n{body}\nRUN cargo build -r\n\
         FROM scratch\nCOPY --from=build /app/target/release/app /app{START}"
    );
    let Dockerfile { notes, .. } = crate::testing::parse(&text).unwrap();
    let notes = notes
        .iter()
        .map(|note| note.text.split('`').nth(1).unwrap());
    notes.map(ToOwned::to_owned).collect()
}

#[test]
fn sources_of_the_stage_alone_are_noted() {
    let all = [
        // Renamed, or from elsewhere.
        "COPY .cargo/collab-config.toml .cargo/config.toml",
        "COPY docker/Cargo.toml Cargo.toml",
        "COPY docker/Cargo.toml crates/a/Cargo.toml",
        "COPY [\"Cargo.prod.toml\", \"./Cargo.toml\"]",
        "COPY config.prod.rs src/config.rs",
        "COPY --chown=1 docker/build.rs /app/",
        "COPY frontend/dist/ static",
        "COPY docker/cargo.toml /usr/local/cargo/config.toml",
        "ADD https://example.org/x /x",
        "ADD git@example.org:a/b.git /b",
        "ADD a.tar.gz /",
        "COPY --chmod=0644 <<EOF src/x.rs\nEOF",
    ];
    for line in all {
        let first = line.split('\n').next().unwrap();
        for project in ["COPY . .", "COPY Cargo.toml Cargo.lock ./\nCOPY src src"] {
            assert_eq!(noted(&format!("{project}\n{line}")), [first], "{project}");
        }
    }
    for command in [
        "cp config.prod.rs src/config.rs",
        "mv -f docker/Cargo.toml .",
        "ln -s /opt/x /app/src/x.rs",
        "install -m 644 .env.prod .env",
    ] {
        assert_eq!(noted(&format!("COPY . .\nRUN {command}")), [command]);
    }
    let silent = [
        "COPY --link . .\nCOPY --chown=1:1 src/ ./src/\nCOPY Cargo.* crates /app/",
        "COPY Cargo.toml Cargo.lock ./\nCOPY crates/a/Cargo.toml crates/a/\nCOPY ./src ./src\nCOPY crates/ crates/",
        // The project is a folder of the context.
        "COPY backend/Cargo.toml backend/Cargo.lock ./\nCOPY backend/src/ src/",
        "COPY backend /app\nCOPY backend/.env.x /app/.env.x",
        // Outside of the project.
        "COPY . .\nCOPY docker/x.conf /etc/x.conf\nRUN cp docker/x.conf /etc/y && install -d /app/x",
        "COPY . .\nCOPY .cargo/config.toml /usr/local/cargo/.cargo/config.toml",
        "COPY . .\nCOPY <<EOF /etc/x\nEOF\nADD . .",
        // Placeholders, with which the dependencies are compiled.
        "COPY Cargo.toml .\nCOPY docker/dummy.rs src/main.rs\nRUN cargo build -r\nCOPY . .",
        "COPY Cargo.toml .\nCOPY <<EOF src/lib.rs\nEOF\nRUN cp x src/main.rs && cargo build -r\nCOPY src src",
        // What comes after the compilation, or from it.
        "COPY . .\nRUN cargo build -r && cp target/release/other ./other",
    ];
    for body in silent {
        assert_eq!(noted(body), [""; 0], "{body}");
    }
    let after = "COPY . .\nRUN cargo build -r && cp docker/x .\nCOPY docker/x .";
    let text = format!(
        "FROM rust AS build\nWORKDIR /app\n{after}\nFROM scratch\nCOPY --from=build /app/target/release/app /app{START}"
    );
    assert_eq!(crate::testing::parse(&text).unwrap().notes, []);
}

#[test]
fn what_only_reads_is_no_note() {
    for command in [
        "for p in a b; do [ -f $p ] || break; done",
        "ldd x | awk '{print $3}' | sort -u | xargs -I {} cp -v {} /deps",
        "echo x | tee /etc/y",
        "sccache -s",
        "a=(x y); build() { mkdir x; }; build a && function f { build; }; f",
        "du -sh x | cut -f 1 | tail -n 1",
    ] {
        assert_eq!(noted(&format!("RUN {command}")), [""; 0], "{command}");
    }
    for command in [
        "echo x | tee .cargo/config.toml",
        "xargs make",
        "build() { make; }; build",
        "sed -i s/a/b/ src/x.rs",
    ] {
        assert_eq!(noted(&format!("RUN {command}")).len(), 1, "{command}");
    }
}

#[test]
fn only_stages_that_compile_the_program_are_copied_without_a_note() {
    let noted = |run: &str| {
        let text = format!(
            "FROM rust AS web\nRUN {run}\nFROM rust AS build\nCOPY --from=web /x x\nRUN cargo build -r\n\
             FROM scratch\nCOPY --from=build /target/release/app /app{START}"
        );
        let read = crate::testing::parse(&text).unwrap();
        read.notes.iter().any(|note| note.line == 4)
    };
    for run in [
        "cargo install trunk && trunk build",
        "npm run build",
        "cargo build -r -p frontend",
        "cargo vendor",
    ] {
        assert!(noted(run), "{run}");
    }
    for run in [
        "cargo chef prepare --recipe-path recipe.json",
        "cargo chef cook -r",
        "mkdir src && touch src/main.rs && cargo build -r",
    ] {
        assert!(!noted(run), "{run}");
    }
}

#[test]
fn another_platform_is_refused_or_noted() {
    let notes = |head: &str, copy: &str| {
        let text = format!("{head}\nFROM scratch\nCOPY --from={copy} /x /x{START}");
        let read = crate::testing::parse(&text).unwrap();
        read.notes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        notes("FROM --platform=linux/arm64 web:1 AS web", "web"),
        [
            "line 1: `--platform=linux/arm64` is left out: the files are those of the image for linux/amd64"
        ]
    );
    for platform in [
        "amd64",
        "linux/amd64/v2",
        "linux",
        "linux/x86_64",
        "$TARGETPLATFORM",
    ] {
        let head = format!("FROM --platform={platform} web:1 AS web");
        assert!(notes(&head, "web").is_empty(), "{platform}");
    }
    // Without a base, there is nothing that depends on the platform.
    assert!(
        notes(
            "FROM --platform=linux/arm64 scratch AS web\nCOPY x /x",
            "web"
        )
        .is_empty()
    );
}

#[test]
fn triggers_of_a_base_need_docker() {
    let settings = FinalStage {
        has_triggers: true,
        ..FinalStage::default()
    };
    let bases = [("base".to_owned(), Arc::new(settings))].into();
    let args = BTreeMap::new();
    let request = Request {
        architecture: Architecture::X86_64,
        package: "app",
        program: "app",
        stage: None,
        args: &args,
        bases: &bases,
    };
    let errors = Dockerfile::parse(&format!("FROM base{START}"), &request).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "line 1: the `ONBUILD` instructions of `base` need Docker"
    );
    assert!(errors.need_docker());
    // They do not concern who only copies from the image.
    let copies = format!("FROM scratch\nCOPY --from=base /x /x{START}");
    assert!(Dockerfile::parse(&copies, &request).is_ok());
}

#[test]
fn the_program_that_is_taken_and_started_fits_best() {
    let best = |file: &str| {
        let rate = |program| {
            let request = Request {
                architecture: crate::Architecture::X86_64,
                package: "all",
                program,
                stage: None,
                args: &BTreeMap::new(),
                bases: &BTreeMap::new(),
            };
            (Dockerfile::misfit(file, &request), program)
        };
        let mut rated = ["api", "tool", "worker"].map(rate);
        rated.sort();
        (rated[0].0 < rated[1].0).then_some(rated[0].1)
    };
    let build = "FROM rust AS build\nRUN cargo build --release\nFROM debian\n";
    let both = "COPY --from=build /target/release/tool /target/release/worker /bin/\n\
        COPY --from=build /target/release/worker /bin/\nCOPY --from=build /target/release/tool /bin/\n";
    for (end, expected) in [
        (
            "COPY --from=build /target/release/worker /\nCMD [\"x\"]",
            Some("worker"),
        ),
        // All are copied, and one is started.
        (&format!("{both}CMD [\"/bin/worker\"]"), Some("worker")),
        (
            &format!("{both}ENTRYPOINT [\"tini\", \"--\"]\nCMD tool serve"),
            Some("tool"),
        ),
        ("RUN make install\nCMD exec api", Some("api")),
        // Called otherwise where it is started.
        (
            "COPY --from=build /target/release/tool /bin/a\nCOPY --from=build /target/release/worker /bin/b\nCMD [\"b\"]",
            Some("worker"),
        ),
        (both, None),
        ("CMD [\"sh\"]", None),
    ] {
        assert_eq!(best(&format!("{build}{end}\n")), expected, "{end}");
    }
    assert_eq!(best(""), None);
}
