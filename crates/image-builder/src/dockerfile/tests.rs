//! Whole files in, what the packer understands out; and the whole table of errors.

use std::fmt::Write as _;

use super::*;

fn parse(text: &str) -> Result<FinalStage, DockerfileError> {
    FinalStage::parse(text, Architecture::X86_64)
}

/// The end every file needs.
const START: &str = "\nENTRYPOINT [\"/app\"]";

fn stage(body: &str) -> FinalStage {
    parse(&format!(
        "FROM rust AS build\nRUN true\nFROM scratch\n{body}{START}"
    ))
    .unwrap()
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
        assert_eq!(stage(body).copies[0].destination, expected, "{body}");
    }
}

/// Every error, with its line and its remedy.
#[test]
fn errors() {
    let within = |body: &str| format!("FROM rust AS build\n\nFROM scratch\n{body}{START}");
    let files = [
        String::new(),
        "# escape=x\nFROM scratch".to_owned(),
        "RUN true\nFROM scratch".to_owned(),
        "FROM rust\nRUNN true\nFROM scratch".to_owned(),
        "FROM rust\nRUN <<EOF\nnever ends\nFROM scratch".to_owned(),
        "FROM".to_owned(),
        "FROM debian:12-slim\nCMD [\"/app\"]".to_owned(),
        "FROM scratch AS base\nFROM base\nCMD [\"/app\"]".to_owned(),
        "FROM scratch\nUSER 1".to_owned(),
        "FROM scratch\nENTRYPOINT []".to_owned(),
        "FROM scratch\nCMD [\"/app\"]\nCMD []".to_owned(),
        "FROM scratch\n\n# why\nENTRYPOINT /app --port 8080".to_owned(),
        "FROM scratch\nCMD [\"/app\"".to_owned(),
        "FROM scratch\nCMD".to_owned(),
        within("RUN apt-get install curl"),
        within("ADD https://example.org/x /x"),
        within("SHELL [\"sh\"]"),
        within("HEALTHCHECK CMD true"),
        within("VOLUME /data"),
        within("ONBUILD RUN true"),
        within("MAINTAINER me"),
        within("EXPOSSE 80"),
        within("ENV A=\"open"),
        within("ENV A=${B/c/d}"),
        within("ENV A=${B"),
        within(&format!(
            "ENV A={}{}",
            "${B:-".repeat(50_000),
            "}".repeat(50_000)
        )),
        within(&format!("ENV A=1234567890\n{}", "ENV A=$A$A\n".repeat(40))),
        within("ENV A=\"${B:?the version to serve}\""),
        within("ENV"),
        within("ENV A"),
        within("ENV A=1 B"),
        within("LABEL =x"),
        within("EXPOSE"),
        within("EXPOSE 0"),
        within("EXPOSE http"),
        within("EXPOSE 80/quic"),
        within("USER ''"),
        within("COPY /x"),
        within("COPY --from=build"),
        within("COPY *.txt /"),
        within("COPY a b \\\n  # both\n  /c"),
        within("COPY <<EOF /x\nhello\nEOF"),
        within("COPY --from=nginx:1 /x /x"),
        within("COPY --from=1 /x /x"),
        within("COPY --from=$STAGE /x /x"),
        within("COPY --chown=app:app a /b"),
        within("COPY --chmod=u+x a /b"),
        within("COPY --chmod=99999 a /b"),
        within("COPY --parents a/b /c"),
    ];
    let mut table = String::new();
    for file in files {
        let error = parse(&file).expect_err(&file);
        let hint = error.hint().unwrap();
        writeln!(table, "{error}\n    {hint}").unwrap();
    }
    insta::assert_snapshot!(table);
}
