//! What is refused, before anybody sees it.

use hfcore_hub::HubError;
use hfcore_hub::publish::{
    CommitOperation, CommitOptions, Content, CreateRepo, UploadNote, UploadOptions,
};
use hfcore_hub_stand_in::{Fault, StandIn};
use serde_json::json;

use crate::setup::*;

fn upload(server: &StandIn, files: &[(&str, &[u8])]) -> HubError {
    let folder = lay_out(files);
    let hub = client(server);
    hub.upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap_err()
}

#[test]
fn a_token_is_not_published() {
    let server = stand_in_with_repo();
    let token = format!(
        "# run\nexport HF_TOKEN=hf_{}\n",
        "a1B2".repeat(9)[..34].to_owned()
    );
    let error = upload(&server, &[("run.sh", token.as_bytes()), ("a.txt", b"x")]);
    assert_eq!(
        error.to_string(),
        "run.sh has what looks like an access token in line 2: take it out, and if it was ever published make a new one; \
         if it is none, allow secrets"
    );
    let folder = lay_out(&[("run.sh", token.as_bytes())]);
    let options = UploadOptions::default().with_delete(["*"]);
    let error = client(&server)
        .check_folder(folder.path(), &repo(), &options)
        .unwrap_err();
    assert!(matches!(error, HubError::Secret { .. }), "{error}");
    assert!(server.requests().is_empty(), "nothing was asked yet");

    // The one in use is not even sent in a sample.
    let own = format!("password = {}", StandIn::WRITE_TOKEN);
    let error = upload(&server, &[("notes.txt", own.as_bytes())]);
    assert!(
        matches!(&error, HubError::Secret { line: 1, .. }),
        "{error}"
    );
    assert!(!format!("{error:?}").contains(StandIn::WRITE_TOKEN));

    let folder = lay_out(&[("run.sh", token.as_bytes())]);
    let commit = CommitOptions::default().with_allow_secrets(true);
    let options = UploadOptions::default().with_commit(commit);
    client(&server)
        .upload_folder(folder.path(), &repo(), &options)
        .unwrap();
}

#[test]
fn a_card_that_the_hub_cannot_read() {
    let server = stand_in_with_repo();
    let card = b"---\nlicense mit\n---\n";
    let error = upload(&server, &[("README.md", card), ("w.bin", &bytes(3000))]);
    assert_eq!(
        error.to_string(),
        "README.md cannot be uploaded: the Hub does not take its head: YAML Metadata Error: \"license mit\" is no member of \
         a mapping"
    );
    assert!(requests(&server, "PUT", "").is_empty());
    let error = upload(&server, &[("README.md", b"\xff\xfe")]);
    assert!(
        error.to_string().contains("a card is UTF-8 text"),
        "{error}"
    );

    // A mirror that checks no cards.
    server.fault(Fault::on("/api/validate-yaml").status(404));
    let folder = lay_out(&[("README.md", card)]);
    client(&server)
        .upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap();
}

#[test]
fn replies_that_make_no_sense() {
    let small: &[(&str, &[u8])] = &[("a.txt", b"x")];
    for (part, reply, message) in [
        (
            "/preupload/",
            json!({"files": []}),
            "it says nothing about a.txt",
        ),
        (
            "/preupload/",
            json!({"files": [{"path": "a.txt"}]}),
            "not the JSON that was expected",
        ),
        (
            "/commit/",
            json!({"commitUrl": "x", "commitOid": "../../x"}),
            "its commitOid is none",
        ),
        (
            "/commit/",
            json!({"success": false}),
            "not the JSON that was expected",
        ),
    ] {
        let server = stand_in_with_repo();
        server.fault(Fault::on(part).json(reply));
        let error = upload(&server, small).to_string();
        assert!(error.contains(message), "{error}");
    }
    let server = stand_in_with_repo();
    server.fault(Fault::on("/preupload/").login_page());
    let error = upload(&server, small);
    assert!(matches!(error, HubError::BadReply { .. }), "{error}");
    assert!(!error.chain().contains("hf_"));
}

#[test]
fn who_may_not_is_told_so() {
    let server = stand_in_with_repo();
    let folder = lay_out(&[("a.txt", b"x")]);
    let upload = |builder: hfcore_hub::HubBuilder| {
        let hub = builder.build().unwrap();
        hub.upload_folder(folder.path(), &repo(), &UploadOptions::default())
            .unwrap_err()
    };
    let error = upload(builder(&server, StandIn::READ_TOKEN));
    assert!(matches!(error, HubError::Forbidden { .. }), "{error}");
    assert!(error.to_string().contains("may lack the scope"), "{error}");

    let error = upload(builder(&server, StandIn::WRITE_TOKEN).no_token());
    assert_eq!(
        error.to_string(),
        "uploading needs an access token, and none is in use: `hfcore login` stores one, HF_TOKEN gives one"
    );
    let anonymous = builder(&server, StandIn::WRITE_TOKEN)
        .no_token()
        .build()
        .unwrap();
    let error = anonymous
        .create_repo(&repo(), &CreateRepo::default())
        .unwrap_err();
    assert!(matches!(error, HubError::NoToken { .. }), "{error}");

    let error = upload(builder(&server, StandIn::WRITE_TOKEN).offline(true));
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
}

#[test]
fn what_would_be_surprising_is_noted() {
    let server = stand_in_with_repo();
    let folder = lay_out(&[("train.parquet", b"PAR1"), ("w.pt", b"\x80\x02}q\0.")]);
    let info = client(&server)
        .upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap();
    assert_eq!(
        info.notes,
        [
            UploadNote::Data {
                path: path("train.parquet")
            },
            UploadNote::Pickle { path: path("w.pt") }
        ]
    );
}

#[test]
fn a_server_cannot_have_a_huge_file_inside_a_commit() {
    let server = stand_in_with_repo();
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("huge.bin")).unwrap();
    file.set_len(101 << 20).unwrap();
    server.fault(Fault::on("/preupload/").json(
        json!({"files": [{"path": "huge.bin", "uploadMode": "regular", "shouldIgnore": false}]}),
    ));
    let error = client(&server)
        .upload_folder(folder.path(), &repo(), &UploadOptions::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "huge.bin cannot be uploaded: the server wants its 105906176 bytes inside the commit, where there is room for \
         104857600"
    );
}

#[test]
fn contradictions() {
    let server = stand_in_with_repo();
    let hub = client(&server);
    let add = || CommitOperation::add(path("a"), Content::Bytes(b"x".to_vec()));
    let error = hub
        .create_commit(&repo(), vec![add(), add()], &CommitOptions::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a cannot be uploaded: the commit adds it twice"
    );
    let options = CommitOptions::default().with_message("");
    assert!(hub.create_commit(&repo(), vec![add()], &options).is_err());
    assert!(server.requests().is_empty());
}
