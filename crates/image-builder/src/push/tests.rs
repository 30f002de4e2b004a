//! Against a registry of a hundred lines, which counts what it is asked and can be told to misbehave.

mod registry;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::digest::digest;
use super::super::testing::{BUILD, pack};
use super::*;
use crate::Hint as _;
use crate::image::Document;
use registry::{Answer, FakeRegistry};

const QUICK: Retry = Retry {
    retries: 3,
    first_delay: Duration::from_millis(1),
    logins: 3,
    gives_up_on_nobody: true,
};
const TAG: &str = "v1";

/// Two layers that are the same, one that is not.
fn image() -> BuiltImage {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    std::fs::write(&path, "x".repeat(200_000)).unwrap();
    let text = format!(
        "{BUILD}FROM scratch\nCOPY --from=build /out/app /app\n\
         COPY --from=build /out/app /app\nCOPY app /other\nCMD [\"/app\"]"
    );
    pack(&text, folder.path(), &path).unwrap()
}

/// The same with an SBOM, and the tag of that.
fn image_with_sbom() -> (BuiltImage, String) {
    let mut image = image();
    image.sbom = Some(Document::new("application/vnd.cyclonedx+json", "{}\n"));
    let tag = attach::sbom_tag(image.digest());
    (image, tag)
}

fn repository(registry: &FakeRegistry) -> Repository {
    Repository {
        registry: registry.address(),
        name: "team/app".to_owned(),
        credentials: Credentials::Basic {
            user: "AWS".to_owned(),
            password: "hunter2".to_owned(),
        },
        roots: Vec::new(),
    }
}

async fn push_to(registry: &FakeRegistry, image: &BuiltImage) -> Result<PushedImage, PushError> {
    let silent: OnProgress = Arc::new(|_| ());
    push_with(image, &repository(registry), TAG, silent, QUICK).await
}

/// Message and remedy; the port is another one each time.
fn told(error: &PushError, registry: &FakeRegistry) -> String {
    let text = format!("{error}\n{}", error.hint().unwrap());
    assert!(!format!("{text}{error:?}").contains("hunter2"));
    text.replace(&registry.address(), "registry")
}

/// What the tag leads to.
async fn tagged(repository: &Repository) -> Option<String> {
    let session = Session::open(repository, Rights::Pull, QUICK).await;
    session.tagged(TAG).await.unwrap()
}

#[tokio::test]
async fn an_empty_registry_gets_everything_the_manifest_last() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: OnProgress = Arc::new(move |progress| sink.lock().unwrap().push(progress));
    let pushed = push_with(&image, &repository(&registry), TAG, progress, QUICK)
        .await
        .unwrap();
    assert_eq!(pushed.digest(), image.digest());
    assert_eq!(pushed.outcome(), Outcome::Sent);
    assert_eq!((pushed.blobs_sent(), pushed.blobs_present()), (3, 0));
    assert_eq!(registry.blobs(), 3);
    assert_eq!(
        registry.manifest(TAG).map(|manifest| digest(&manifest)),
        Some(image.digest().to_owned())
    );
    let sends = registry.requests_that_send();
    assert_eq!(sends.last().unwrap(), "PUT /v2/team/app/manifests/v1");

    let seen = seen.lock().unwrap();
    let (first, last) = (seen.first().unwrap(), seen.last().unwrap());
    assert_eq!(first.sent, 0);
    assert_eq!(last.sent, last.total);
    assert_eq!(last.total, pushed.bytes_sent());
    assert!(seen.is_sorted_by_key(|progress| progress.sent));
}

#[tokio::test]
async fn what_is_there_is_not_sent_again() {
    let (registry, image) = (FakeRegistry::start().await, image());
    push_to(&registry, &image).await.unwrap();
    registry.forget_manifests();
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!((pushed.blobs_sent(), pushed.blobs_present()), (0, 3));
    assert_eq!(pushed.bytes_sent(), image.manifest.content.len() as u64);
    let sends = registry.requests_that_send();
    assert_eq!(sends, ["PUT /v2/team/app/manifests/v1"]);

    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!(pushed.outcome(), Outcome::AlreadyThere);
    assert_eq!(pushed.bytes_sent(), 0);
    assert!(registry.requests_that_send().is_empty());
}

#[tokio::test]
async fn one_look_is_enough_for_an_image_that_is_there() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let repository = repository(&registry);
    registry.require_login("AWS", "hunter2");
    let look = format!("HEAD /v2/team/app/manifests/{TAG}");
    let silent = || -> OnProgress { Arc::new(|_| ()) };
    let pushed = push(&image, &repository, TAG, silent()).await.unwrap();
    assert_eq!(pushed.outcome(), Outcome::Sent);
    registry.requests();

    let pushed = push(&image, &repository, TAG, silent()).await.unwrap();
    assert_eq!(pushed.outcome(), Outcome::AlreadyThere);
    assert_eq!((pushed.blobs_present(), pushed.bytes_sent()), (3, 0));
    assert_eq!(registry.requests(), [look.as_str()]);

    // Another image under this tag: the look proves nothing, and the usual way finds out.
    registry.answer("HEAD", "manifests", &[Answer::digest(&digest(b"another"))]);
    let artifacts = attach::artifacts(&image);
    assert!(!fast_path::has_all(&repository, (TAG, image.digest()), &artifacts).await);
}

#[tokio::test]
async fn what_a_tag_leads_to() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let repository = repository(&registry);
    assert_eq!(tagged(&repository).await, None);
    push_to(&registry, &image).await.unwrap();
    assert_eq!(tagged(&repository).await.as_deref(), Some(image.digest()));
}

#[tokio::test]
async fn an_image_that_is_there_gets_the_tag_that_it_lacks() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let repository = repository(&registry);
    push_to(&registry, &image).await.unwrap();
    registry.requests();
    let silent: OnProgress = Arc::new(|_| ());
    let pushed = push(&image, &repository, "v2", silent).await.unwrap();
    assert_eq!(pushed.outcome(), Outcome::Sent);
    assert_eq!((pushed.blobs_sent(), pushed.blobs_present()), (0, 3));
    assert_eq!(registry.manifest("v2"), registry.manifest(TAG));
    let sends = registry.requests_that_send();
    assert_eq!(sends, ["PUT /v2/team/app/manifests/v2"]);
}

#[tokio::test]
async fn the_password_is_sent_to_the_registry_that_asks_for_it() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.require_login("AWS", "hunter2");
    assert!(push_to(&registry, &image).await.is_ok());

    let registry = FakeRegistry::start().await;
    registry.require_login("AWS", "another");
    let error = push_to(&registry, &image).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @r"
    refused by the registry `registry`: status 401
    the login may have run out, or lacks the right; for ECR `ecr:PutImage` and its like
    ");
}

#[tokio::test]
async fn no_right_to_push() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let body = r#"{"errors":[{"code":"DENIED","message":"User is not authorized to perform: ecr:InitiateLayerUpload"}]}"#;
    registry.answer("POST", "/blobs/uploads/", &[Answer::always(403, body)]);
    let error = push_to(&registry, &image).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @r"
    refused by the registry `registry`: status 403 User is not authorized to perform: ecr:InitiateLayerUpload
    the login may have run out, or lacks the right; for ECR `ecr:PutImage` and its like
    ");
}

#[tokio::test]
async fn no_repository() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository does not exist"}]}"#;
    // ECR says it at once; others only when something is sent.
    for (method, path) in [("GET", "/manifests/"), ("POST", "/blobs/uploads/")] {
        registry.answer(method, path, &[Answer::always(404, body)]);
        let error = push_to(&registry, &image).await.unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(told(&error, &registry), @r"
            the registry `registry` has no repository `team/app`
            the stack makes the repository: create it first
            ");
        }
        registry.behave();
    }
}

#[tokio::test]
async fn nobody_listens() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.stop().await;
    let error = push_to(&registry, &image).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @r"
    cannot reach the registry `registry`: Connection refused (os error 111)
    start the emulator or the registry on this machine
    ");
}

#[tokio::test]
async fn what_passes_is_waited_out() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.answer("HEAD", "/manifests/", &[Answer::once(503, "busy")]);
    registry.answer(
        "HEAD",
        "/blobs/",
        &[Answer::once(500, ""), Answer::once(429, "")],
    );
    registry.answer("PUT", "/blobs/uploads/", &[Answer::Hangup]);
    registry.answer("PUT", "/manifests/", &[Answer::once(502, "")]);
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!(pushed.blobs_sent(), 3);
    assert_eq!(registry.blobs(), 3);
}

#[tokio::test]
async fn a_registry_that_says_how_long_is_waited_for() {
    let second = Duration::from_secs(1);
    for told in [
        "2",
        "Tue, 14 Nov 2023 22:13:22 GMT\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT",
    ] {
        let (registry, image) = (FakeRegistry::start().await, image());
        // Of those that have no login, it would not hear how long.
        registry.require_login("AWS", "hunter2");
        registry.be_busy(second, told);
        // Three attempts within milliseconds would all fail.
        let pushed = push_to(&registry, &image).await.unwrap();
        assert_eq!(pushed.blobs_sent(), 3);
        let asked = registry.requests().len();
        assert!(asked < 40, "{asked}");
    }
}

#[tokio::test]
async fn a_registry_that_asks_for_too_long_is_not_waited_for() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.be_busy(Duration::from_mins(10), "300");
    let began = std::time::Instant::now();
    let error = push_to(&registry, &image).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @"
    the registry `registry` failed: status 429 it asks to wait for 300 s
    try again; what was sent already is not sent twice
    ");
    assert!(began.elapsed() < Duration::from_mins(1));
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_followed_by_no_wait_and_all_waits_have_a_limit() {
    let busy = || async { Err::<(), _>(RequestError::of_status(500, b"", None)) };
    let once = Retry {
        retries: 1,
        first_delay: Duration::from_secs(10),
        ..QUICK
    };
    let patience = super::retry::Patience::default();
    let began = tokio::time::Instant::now();
    once.run(&patience, busy).await.unwrap_err();
    let waited = began.elapsed();
    assert!((9..=11).contains(&waited.as_secs()), "{waited:?}");

    let endless = Retry {
        retries: 1_000,
        ..once
    };
    endless.run(&patience, busy).await.unwrap_err();
    let waited = began.elapsed();
    assert!((90..=120).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test]
async fn what_does_not_pass_is_given_up() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.answer(
        "POST",
        "/blobs/uploads/",
        &[Answer::always(503, "<html>busy")],
    );
    let error = push_to(&registry, &image).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @r"
    the registry `registry` failed: status 503 <html>busy
    try again; what was sent already is not sent twice
    ");
    // The first of the three that gives up is the end of the others: how far they came is chance.
    let posts = registry.requests_that_send().len();
    assert!((4..=3 * 4).contains(&posts), "{posts}");

    // One alone: one attempt, and three more.
    registry.behave();
    push_to(&registry, &image).await.unwrap();
    registry.take_one_blob_away();
    let busy = Answer::always(503, "busy");
    registry.answer("POST", "/blobs/uploads/", &[busy]);
    push_to(&registry, &image).await.unwrap_err();
    assert_eq!(registry.requests_that_send().len(), 4);
}

#[tokio::test]
async fn what_is_taken_without_a_word_where_it_went_is_taken() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.answer(
        "PUT",
        "/blobs/uploads/",
        &[const { Answer::TakenInSilence }; 3],
    );
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!((pushed.blobs_sent(), registry.blobs()), (3, 3));
    let sends = registry.requests_that_send();
    let uploads = sends.iter().filter(|it| it.starts_with("PUT"));
    assert_eq!(uploads.count(), 3 + 1, "none twice: {sends:?}");
}

#[tokio::test]
async fn a_page_to_sign_in_at_is_no_answer() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let page = || Answer::once(200, "<html>sign in</html>");
    for (method, path) in [
        ("POST", "/blobs/uploads/"),
        ("PUT", "/blobs/uploads/"),
        ("PUT", "/manifests/"),
    ] {
        registry.answer(method, path, &[page(), page()]);
    }
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!((pushed.blobs_sent(), registry.blobs()), (3, 3));
}

#[tokio::test]
async fn an_answer_that_never_makes_sense_is_given_up() {
    let (registry, image) = (FakeRegistry::start().await, image());
    // What is pushed to is something else.
    registry.answer("PUT", "/manifests/", &[Answer::always(200, "<html>")]);
    let patient = Retry {
        retries: 9,
        ..QUICK
    };
    let silent: OnProgress = Arc::new(|_| ());
    let repository = repository(&registry);
    let error = push_with(&image, &repository, TAG, silent, patient)
        .await
        .unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @"
    the registry `registry` failed: it answers 200 OK and not 201
    try again; what was sent already is not sent twice
    ");
    let sends = registry.requests_that_send();
    let manifests = sends.iter().filter(|it| it.contains("/manifests/"));
    assert_eq!(manifests.count(), 1 + 3, "{sends:?}");
}

#[tokio::test]
async fn a_limit_in_words_of_its_own_may_pass() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let busy = r#"{"errors":[{"code":"RATE_LIMIT_EXCEEDED","message":"slow down"}]}"#;
    let silent = r#"{"errors":[]}"#;
    registry.answer(
        "GET",
        "/manifests/",
        &[Answer::once(429, busy), Answer::once(429, silent)],
    );
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!(pushed.outcome(), Outcome::Sent);

    // It never does.
    let registry = FakeRegistry::start().await;
    registry.answer("GET", "/manifests/", &[Answer::always(429, busy)]);
    let patient = Retry {
        retries: 9,
        ..QUICK
    };
    let quiet: OnProgress = Arc::new(|_| ());
    let error = push_with(&image, &repository(&registry), TAG, quiet, patient)
        .await
        .unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @"
    the registry `registry` failed: status 429 slow down
    try again; what was sent already is not sent twice
    ");
    let requests = registry.requests();
    let asked = requests
        .iter()
        .filter(|it| it.starts_with("GET") && it.contains("/manifests/"));
    assert_eq!(asked.count(), 1 + 9, "{requests:?}");
}

#[tokio::test]
async fn an_error_of_the_request_is_final_whatever_its_code() {
    let (registry, image) = (FakeRegistry::start().await, image());
    push_to(&registry, &image).await.unwrap();
    registry.take_one_blob_away();
    let body = r#"{"errors":[{"code":"QUOTA_EXCEEDED","message":"full"}]}"#;
    for (status, attempts) in [(400, 1), (409, 1), (422, 1), (408, 4), (429, 4), (507, 4)] {
        let answer = Answer::always(status, body);
        registry.answer("POST", "/blobs/uploads/", &[answer]);
        let error = push_to(&registry, &image).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("status {status} full")), "{text}");
        let sent = registry.requests_that_send();
        assert_eq!(sent.len(), attempts, "{status}: {sent:?}");
        registry.behave();
    }
}

#[tokio::test]
async fn a_failed_upload_says_how_long_to_wait() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.answer("PUT", "/blobs/uploads/", &[Answer::Busy("1")]);
    let began = std::time::Instant::now();
    push_to(&registry, &image).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    let requests = registry.requests();
    assert!(!requests.iter().any(|it| it == "HEAD /v2/"), "{requests:?}");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_not_asked_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _hello = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    });
    use_tls_of_ring();
    let asked = std::cell::Cell::new(0);
    let ask = || async {
        asked.set(asked.get() + 1);
        Ok(reqwest::get(&url).await?)
    };
    let patient = Retry {
        gives_up_on_nobody: false,
        ..QUICK
    };
    let patience = super::retry::Patience::default();
    let attempts = patient.run(&patience, ask);
    let error = attempts.await.map(drop).unwrap_err();
    assert!(error.is_connect(), "{error}");
    assert_eq!(asked.get(), 1);
    let repository = Repository {
        registry: "registry.example".to_owned(),
        name: "team/app".to_owned(),
        credentials: Credentials::Anonymous,
        roots: Vec::new(),
    };
    let told = PushError::new(&repository, &error);
    assert!(matches!(told, PushError::PlainHttp { .. }), "{told}");
    let hint = told.hint().unwrap();
    assert!(hint.contains("reach it as `localhost:PORT`"), "{hint}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_registry_is_asked_twice() {
    let asked = std::cell::Cell::new(0);
    let ask = || {
        asked.set(asked.get() + 1);
        let never = std::future::pending::<Result<(), RequestError>>();
        idle::patiently(idle::Movement::question(), never)
    };
    let (retry, patience) = (Retry::default(), super::retry::Patience::default());
    let error = retry.run(&patience, ask).await.unwrap_err();
    assert!(error.to_string().contains("nothing moved for 30 s"));
    assert_eq!(asked.get(), 2);
}

#[tokio::test]
async fn an_immutable_tag() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let body = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag 'v1' already exists and cannot be overwritten because the repository is immutable."}]}"#;
    let refusal = Answer::always(400, body);
    registry.answer("PUT", "/manifests/", &[refusal]);

    // Sent by someone else since we looked.
    registry.answer(
        "HEAD",
        "/manifests/v1",
        &[Answer::once(404, ""), Answer::digest(image.digest())],
    );
    registry.answer("GET", "/manifests/v1", &[Answer::once(404, "")]);
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!(pushed.digest(), image.digest());

    // It is another image's, ours being there under another tag.
    registry.behave();
    let silent = || -> OnProgress { Arc::new(|_| ()) };
    let repository = repository(&registry);
    push(&image, &repository, "v2", silent()).await.unwrap();
    registry.answer("PUT", "/manifests/", &[Answer::always(400, body)]);
    let other = format!("sha256:{}", "0".repeat(64));
    registry.answer("HEAD", "/manifests/v1", &[Answer::digest(&other)]);
    let error = push_to(&registry, &image).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @"
    the tag `v1` belongs to another image: status 400 The image tag 'v1' already exists and cannot be overwritten because the repository is immutable.
    choose another tag: a tag of the digest never collides
    ");
}

#[test]
fn a_password_is_never_shown() {
    let credentials = Credentials::Basic {
        user: "AWS".to_owned(),
        password: "hunter2".to_owned(),
    };
    assert_eq!(format!("{credentials:?}"), "Basic(…)");
}

#[tokio::test]
async fn an_sbom_goes_with_the_image_and_refers_to_it() {
    let (registry, (image, tag)) = (FakeRegistry::start().await, image_with_sbom());
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!(pushed.attachments(), &AttachOutcome::Attached);
    let artifact = registry.manifest(&tag).unwrap();
    let artifact: serde_json::Value = serde_json::from_slice(&artifact).unwrap();
    assert_eq!(artifact["subject"]["digest"], image.digest());
    assert_eq!(artifact["artifactType"], "application/vnd.cyclonedx+json");
    let layer = artifact["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(layer, image.sbom.as_ref().unwrap().digest);
    assert_eq!(registry.blobs(), 5);

    // The image is there: nothing is sent, the list neither.
    registry.requests();
    let again = push_to(&registry, &image).await.unwrap();
    assert_eq!(again.attachments(), &AttachOutcome::Untouched);
    assert!(registry.requests_that_send().is_empty());
}

#[tokio::test]
async fn a_registry_that_takes_no_artifacts_is_no_failure() {
    for status in [400, 403, 405, 503] {
        let (registry, (image, tag)) = (FakeRegistry::start().await, image_with_sbom());
        registry.answer("PUT", &tag, &[Answer::always(status, "no")]);
        let pushed = push_to(&registry, &image).await.unwrap();
        let AttachOutcome::Refused(reason) = pushed.attachments() else {
            panic!("{:?}", pushed.attachments());
        };
        assert!(reason.contains("no"), "{reason}");
        assert_eq!(pushed.outcome(), Outcome::Sent);
        assert!(registry.manifest(TAG).is_some());
    }
}

#[tokio::test]
async fn an_sbom_that_is_there_is_attached_also_where_no_tag_can_be_moved() {
    let (image, tag) = image_with_sbom();
    let registry = FakeRegistry::start().await;
    push_to(&registry, &image).await.unwrap();
    let there = digest(&registry.manifest(&tag).unwrap());
    let other = digest(b"another");

    let body = r#"{"errors":[{"code":"TAG_INVALID","message":"The tag is immutable."}]}"#;
    let refused = "the registry `REGISTRY` failed: status 400 The tag is immutable.".to_owned();
    let refused = AttachOutcome::Refused(refused);
    for (digest, expected) in [(there, AttachOutcome::Attached), (other, refused)] {
        let registry = FakeRegistry::start().await;
        registry.answer("PUT", &tag, &[Answer::always(400, body)]);
        registry.answer("HEAD", &tag, &[Answer::digest(&digest)]);
        let pushed = push_to(&registry, &image).await.unwrap();
        let mut sbom = pushed.attachments().clone();
        if let AttachOutcome::Refused(reason) = &mut sbom {
            *reason = reason.replace(&registry.address(), "REGISTRY");
        }
        assert_eq!(sbom, expected);
    }
}

#[tokio::test]
async fn one_login_for_all_and_none_where_nobody_asks() {
    let logins = |registry: &FakeRegistry| {
        let requests = registry.requests();
        requests.iter().filter(|it| *it == "GET /v2/").count()
    };
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.require_login("AWS", "hunter2");
    push_to(&registry, &image).await.unwrap();
    // For all questions, and to push.
    assert_eq!(logins(&registry), 1);

    let registry = FakeRegistry::start().await;
    let anonymous = Repository {
        credentials: Credentials::Anonymous,
        ..repository(&registry)
    };
    let silent: OnProgress = Arc::new(|_| ());
    push_with(&image, &anonymous, TAG, silent, QUICK)
        .await
        .unwrap();
    assert_eq!(logins(&registry), 0);
}

#[tokio::test]
async fn only_what_failed_is_sent_again_and_the_progress_is_right() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.answer(
        "PUT",
        "/blobs/uploads/",
        &[Answer::Hangup, Answer::once(429, ""), Answer::once(500, "")],
    );
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: OnProgress = Arc::new(move |progress| sink.lock().unwrap().push(progress));
    let pushed = push_with(&image, &repository(&registry), TAG, progress, QUICK)
        .await
        .unwrap();
    let sends = registry.requests_that_send();
    let uploads = sends
        .iter()
        .filter(|it| it.starts_with("PUT") && it.contains("uploads"));
    assert_eq!(uploads.count(), 3 + 3, "{sends:?}");
    let seen = seen.lock().unwrap();
    let last = seen.last().unwrap();
    assert_eq!(
        (last.sent, last.total),
        (pushed.bytes_sent(), pushed.bytes_sent())
    );
    assert!(seen.iter().all(|progress| progress.sent <= progress.total));
}

#[tokio::test]
async fn an_sbom_that_did_not_arrive_follows_with_the_next_push() {
    let (registry, (image, tag)) = (FakeRegistry::start().await, image_with_sbom());
    registry.answer(
        "PUT",
        &tag,
        &[Answer::once(503, "busy"), Answer::once(503, "busy")],
    );
    let pushed = push_to(&registry, &image).await.unwrap();
    assert!(matches!(pushed.attachments(), AttachOutcome::Refused(_)));
    registry.requests();
    let again = push_to(&registry, &image).await.unwrap();
    assert_eq!(again.outcome(), Outcome::AlreadyThere);
    assert_eq!(again.attachments(), &AttachOutcome::Attached);
    assert!(registry.manifest(&tag).is_some());
    // Also where one look tells that the image is there.
    let silent: OnProgress = Arc::new(|_| ());
    let third = push(&image, &repository(&registry), TAG, silent)
        .await
        .unwrap();
    assert_eq!(third.attachments(), &AttachOutcome::Untouched);
}

#[tokio::test]
async fn what_refers_to_an_image_comes_after_it_and_is_listed() {
    let list = |registry: &FakeRegistry, image: &BuiltImage| {
        let index = registry.manifest(&image.digest().replace(':', "-"));
        index.map(|index| serde_json::from_slice::<serde_json::Value>(&index).unwrap())
    };
    let (registry, (image, tag)) = (FakeRegistry::start().await, image_with_sbom());
    push_to(&registry, &image).await.unwrap();
    let sends = registry.requests_that_send();
    let at = |tag: &str| sends.iter().position(|it| it.ends_with(tag)).unwrap();
    assert!(at("/manifests/v1") < at(&tag), "{sends:?}");
    // Without the API, clients look under a tag made of the digest.
    let index = list(&registry, &image).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 1);
    assert_eq!(
        manifests[0]["artifactType"],
        "application/vnd.cyclonedx+json"
    );
    assert_eq!(
        manifests[0]["digest"],
        digest(&registry.manifest(&tag).unwrap())
    );

    // What others have listed stays.
    let registry = FakeRegistry::start().await;
    let other = r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:other"}]}"#;
    registry.put_manifest(&image.digest().replace(':', "-"), other);
    push_to(&registry, &image).await.unwrap();
    let index = list(&registry, &image).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);

    // A registry with the API keeps the list itself.
    let registry = FakeRegistry::start().await;
    registry.list_referrers(50);
    push_to(&registry, &image).await.unwrap();
    assert_eq!(list(&registry, &image), None);
}

/// An image with an SBOM and a statement.
fn image_with_statement() -> BuiltImage {
    let (mut image, _) = image_with_sbom();
    image.statements = vec![crate::testing::statement(image.digest())];
    image
}

#[tokio::test]
async fn what_is_attached_is_found_with_and_without_the_api() {
    for has_api in [false, true] {
        let (registry, image) = (FakeRegistry::start().await, image_with_statement());
        if has_api {
            registry.list_referrers(50);
        }
        let repository = repository(&registry);
        let pushed = push_to(&registry, &image).await.unwrap();
        assert_eq!(pushed.attachments(), &AttachOutcome::Attached);
        let first = &image.statements[0];
        let mut found = attached(&repository, image.digest(), None).await.unwrap();
        assert_eq!(found.sbom, image.sbom);
        assert_eq!(found.statements, std::slice::from_ref(first));

        // Another statement joins the first; the same one again changes nothing.
        let later = crate::attestation::Statement {
            predicate_type: "https://example.org/later".to_owned(),
            predicate: serde_json::json!({}),
        };
        let later = later.document("app", image.digest());
        for _ in 0..2 {
            attach(&repository, image.digest(), std::slice::from_ref(&later))
                .await
                .unwrap();
            found = attached(&repository, image.digest(), None).await.unwrap();
            assert_eq!(found.statements.len(), 2);
            assert!(found.statements.contains(&later));
        }
        let kind = Some("https://example.org/later");
        let found = attached(&repository, image.digest(), kind).await.unwrap();
        assert_eq!((found.sbom, found.statements), (None, vec![later]));
        // Nothing is sent a second time, whichever way finds out.
        registry.requests();
        let again = push_to(&registry, &image).await.unwrap();
        assert_eq!(again.attachments(), &AttachOutcome::Untouched);
        let silent: OnProgress = Arc::new(|_| ());
        push(&image, &repository, TAG, silent).await.unwrap();
        assert_eq!(registry.requests_that_send(), Vec::<String>::new());
        // Clients choose by the type of the predicate.
        let artifacts = attach::artifacts(&image);
        let (reference, _) = artifacts.expected().last().unwrap();
        let artifact = registry.manifest(reference).unwrap();
        let artifact: serde_json::Value = serde_json::from_slice(&artifact).unwrap();
        assert_eq!(
            artifact["annotations"]["in-toto.io/predicate-type"],
            crate::slsa::PREDICATE
        );
    }
}

#[tokio::test]
async fn only_what_refers_to_the_image_counts() {
    let (registry, (image, tag)) = (FakeRegistry::start().await, image_with_sbom());
    let repository = repository(&registry);
    push_to(&registry, &image).await.unwrap();
    let index_tag = image.digest().replace(':', "-");
    let artifact = registry.manifest(&tag).unwrap();
    let artifact = String::from_utf8(artifact).unwrap();

    // An SBOM of the time before there was a list is found by its tag.
    registry.put_manifest(&index_tag, r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#);
    let found = attached(&repository, image.digest(), None).await.unwrap();
    assert_eq!(found.sbom, image.sbom);
    // That of another image is not.
    let other = artifact.replace(image.digest(), &digest(b"another"));
    registry.put_manifest(&tag, &other);
    let found = attached(&repository, image.digest(), None).await.unwrap();
    assert_eq!(found, Attached::default());

    // A registry that fails is not one without anything attached.
    registry.answer("GET", "/referrers/", &[Answer::always(500, "broken")]);
    assert!(Box::pin(session_fails(&repository, &image)).await);
}

async fn session_fails(repository: &Repository, image: &BuiltImage) -> bool {
    let session = Session::open(repository, Rights::Pull, QUICK).await;
    session.referrers(image.digest()).await.is_err()
}

#[tokio::test]
async fn an_upload_that_the_registry_forgets_is_started_again() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let lost = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}"#;
    registry.answer(
        "PUT",
        "/blobs/uploads/",
        &[Answer::once(404, lost), Answer::once(404, lost)],
    );
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!((pushed.blobs_sent(), registry.blobs()), (3, 3));
    // For ever: then it says so, and speaks of no missing repository.
    let registry = FakeRegistry::start().await;
    registry.answer("PUT", "/blobs/uploads/", &[Answer::always(404, lost)]);
    let error = push_to(&registry, &image).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &registry), @"
    the registry `registry` failed: status 404 blob upload unknown to registry
    try again; what was sent already is not sent twice
    ");
}

#[tokio::test]
async fn a_registry_that_stores_another_manifest_is_noticed() {
    let (registry, image) = (FakeRegistry::start().await, image());
    let other = digest(b"another");
    registry.answer(
        "HEAD",
        "/manifests/v1",
        &[Answer::once(404, ""), Answer::digest(&other)],
    );
    registry.answer("GET", "/manifests/v1", &[Answer::once(404, "")]);
    let error = push_to(&registry, &image).await.unwrap_err();
    assert!(
        matches!(&error, PushError::Rewritten { digest, .. } if *digest == other),
        "{error}"
    );
}

#[tokio::test]
async fn each_remedy_fits_its_cause() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.answer(
        "POST",
        "/blobs/uploads/",
        &[Answer::always(413, "<html>too large")],
    );
    let too_large = push_to(&registry, &image).await.unwrap_err();
    let other = FakeRegistry::start().await;
    other.require_login("AWS", "hunter2");
    let nobody = Repository {
        credentials: Credentials::Anonymous,
        ..repository(&other)
    };
    let silent: OnProgress = Arc::new(|_| ());
    let refused = push_with(&image, &nobody, TAG, silent, QUICK)
        .await
        .unwrap_err();
    let told = [told(&too_large, &registry), told(&refused, &other)];
    insta::assert_snapshot!(told.join("\n"), @"
    the registry `registry`, or a proxy before it, refuses a layer as too large: status 413 <html>too large
    raise the limit of the body size there (in nginx `client_max_body_size`), or make the image smaller
    refused by the registry `registry`: status 401
    log in: `--user NAME`, with the password in `DEPLOYER_REGISTRY_PASSWORD`
    ");
}

#[tokio::test]
async fn a_registry_here_may_call_itself_localhost() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.call_itself("localhost");
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!(pushed.blobs_sent(), 3);
}

#[tokio::test]
async fn a_registry_here_gets_what_is_sent_or_nobody_does() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.call_itself("192.0.2.1");
    let error = push_to(&registry, &image).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("it sends uploads to another machine: 192.0.2.1"),
        "{text}"
    );
    let sent = registry.requests_that_send();
    assert!(sent.iter().all(|it| it.starts_with("POST")), "{sent:?}");
}

#[tokio::test]
async fn a_token_that_is_taken_no_longer_is_asked_for_again() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.give_tokens(4);
    // Each is good for a few requests, whatever was said.
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!((pushed.blobs_sent(), registry.blobs()), (3, 3));
}

#[tokio::test]
async fn one_login_is_enough() {
    let (registry, image) = (FakeRegistry::start().await, image_with_statement());
    registry.give_tokens(1_000);
    let pushed = push_to(&registry, &image).await.unwrap();
    assert_eq!(pushed.attachments(), &AttachOutcome::Attached);
    let requests = registry.requests();
    let logins = requests.iter().filter(|it| *it == "GET /token");
    assert_eq!(logins.count(), 1, "{requests:?}");
}

#[tokio::test]
async fn a_registry_here_gets_the_login_or_nobody_does() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.give_tokens(1_000);
    registry.call_itself("192.0.2.1");
    let error = push_to(&registry, &image).await.unwrap_err();
    let text = error.to_string();
    let expected = "it sends logins to another machine: 192.0.2.1";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn every_page_of_a_list_is_read() {
    let (registry, image) = (FakeRegistry::start().await, image());
    registry.list_referrers(3);
    let repository = repository(&registry);
    push_to(&registry, &image).await.unwrap();
    let statements: Vec<Document> = (0..10)
        .map(|number| {
            let statement = crate::attestation::Statement {
                predicate_type: format!("https://example.org/{number}"),
                predicate: serde_json::json!({}),
            };
            statement.document("app", image.digest())
        })
        .collect();
    attach(&repository, image.digest(), &statements)
        .await
        .unwrap();
    let found = attached(&repository, image.digest(), None).await.unwrap();
    assert_eq!(found.statements.len(), 10);
    // The registry keeps the list, so there is no other one.
    let tag = image.digest().replace(':', "-");
    assert_eq!(registry.manifest(&tag), None);

    // A list that never ends is not followed for ever.
    registry.list_referrers(0);
    registry.requests();
    let error = attached(&repository, image.digest(), None).await;
    insta::assert_snapshot!(told(&error.unwrap_err(), &registry), @r"
    the registry `registry` does not give everything: its list has over 20 pages
    delete some of what is attached to the image; or, behind a proxy, tell the registry the address that clients use
    ");
    let requests = registry.requests();
    let pages = requests.iter().filter(|it| it.contains("/referrers/"));
    assert_eq!(pages.count(), 20);

    // Nor is a page that never ends read to its end.
    let page = " ".repeat(9 << 20);
    registry.answer("GET", "/referrers/", &[Answer::always(200, &page)]);
    let error = attached(&repository, image.digest(), None).await;
    insta::assert_snapshot!(told(&error.unwrap_err(), &registry), @r"
    the registry `registry` does not give everything: it sends over 8388608 bytes
    delete some of what is attached to the image; or, behind a proxy, tell the registry the address that clients use
    ");
}

#[tokio::test]
async fn a_layer_of_a_base_is_mounted_or_else_sent() {
    let origin = |image: &mut BuiltImage, registry: &FakeRegistry| {
        image.layers[0].origin = Some(format!("{}/team/base", registry.address()));
    };
    // Another repository of the registry has the layer: the two others are sent.
    let (registry, mut image) = (FakeRegistry::start().await, image());
    origin(&mut image, &registry);
    registry.mount_from("team/base");
    push_to(&registry, &image).await.unwrap();
    let uploads = |registry: &FakeRegistry| {
        let sent = registry.requests_that_send();
        sent.iter()
            .filter(|it| it.starts_with("PUT") && it.contains("/blobs/"))
            .count()
    };
    assert_eq!((registry.blobs(), uploads(&registry)), (3, 2));

    // It does not say why it starts an upload instead (202), which is used, or refuses the
    // repository.
    for refusal in [None, Some(403), Some(404)] {
        let registry = FakeRegistry::start().await;
        origin(&mut image, &registry);
        if let Some(status) = refusal {
            registry.answer("POST", "/uploads/?mount=", &[Answer::once(status, "")]);
        }
        push_to(&registry, &image).await.unwrap();
        let sent = registry.requests_that_send();
        let count = |method: &str| {
            let uploads = sent.iter().filter(|it| it.contains("/blobs/"));
            uploads.filter(|it| it.starts_with(method)).count()
        };
        let started = if refusal.is_some() { 4 } else { 3 };
        assert_eq!(
            (registry.blobs(), count("POST"), count("PUT")),
            (3, started, 3),
            "{refusal:?}"
        );
    }

    // A layer of another registry cannot be mounted.
    let registry = FakeRegistry::start().await;
    registry.mount_from("team/base");
    image.layers[0].origin = Some("registry.example/team/base".to_owned());
    push_to(&registry, &image).await.unwrap();
    assert_eq!(uploads(&registry), 3);
}
