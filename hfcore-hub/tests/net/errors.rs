//! What the Hub refuses, as errors that say what to do.

use crate::support::{client, download, files_below, main, model, path, temporary};
use hfcore_hub::{
    DownloadOptions, Hub, HubError, Repo, RepoType, Revision, SnapshotOptions, Token,
};
use hfcore_hub_stand_in::{Fault, Role, StandIn};

const TOKEN: &str = "hf_adaadaadaada";

fn filled() -> StandIn {
    let hub = StandIn::start();
    hub.account("ada", TOKEN, Role::Read, &[]);
    hub.model("org/name")
        .file("config.json", "{}")
        .file("onnx/config.json", "{}")
        .file("tokenizer.json", "{}")
        .create();
    hub
}

fn anonymous(hub: &StandIn, folder: &std::path::Path) -> Hub {
    client(&hub.endpoint(), folder).build().unwrap()
}

fn ada(hub: &StandIn, folder: &std::path::Path) -> Hub {
    let token = Token::parse(TOKEN).unwrap();
    client(&hub.endpoint(), folder)
        .token(token)
        .build()
        .unwrap()
}

#[test]
fn a_file_that_is_not_there_has_near_names_and_is_remembered() {
    let (hub, folder) = (filled(), temporary());
    let client = anonymous(&hub, folder.path());
    let error = download(&client, "confg.json").unwrap_err();
    assert_eq!(
        error.to_string(),
        "org/name has no confg.json at revision main; did you mean config.json?"
    );
    let cache = folder.path().join("cache/models--org--name");
    let commit = hub
        .world(|world| world.commit_of("org/name", "main"))
        .unwrap();
    let absent = format!(".no_exist/{commit}/confg.json");
    assert_eq!(files_below(&cache), [absent, "refs/main".to_owned()]);
    // So it is known without a network.
    hub.clear_requests();
    let options = DownloadOptions::default().with_local_files_only(true);
    let error = client.download(&model(), &main(), &path("confg.json"), &options);
    assert!(matches!(error, Err(HubError::EntryNotFound { .. })));
    assert!(
        hub.requests().is_empty(),
        "nothing is asked, not even for names"
    );
}

#[test]
fn a_revision_that_is_not_there_has_near_names() {
    let (hub, folder) = (filled(), temporary());
    let commit = hub
        .world(|world| world.commit_of("org/name", "main"))
        .unwrap();
    hub.world(|world| world.point("org/name", "refs/tags/v1.0", &commit));
    let client = anonymous(&hub, folder.path());
    let revision = Revision::parse("mian").unwrap();
    let error = client.download(
        &model(),
        &revision,
        &path("config.json"),
        &DownloadOptions::default(),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "org/name has no revision mian; did you mean main?"
    );
    let error = client.snapshot(&model(), &revision, &SnapshotOptions::default());
    assert!(matches!(error, Err(HubError::RevisionNotFound { .. })));
}

#[test]
fn a_repository_that_is_not_there_has_near_names() {
    let (hub, folder) = (filled(), temporary());
    let endpoint = hub.endpoint();
    let repo = Repo::model("org/nam").unwrap();
    let error = |client: &Hub| {
        let found = client.snapshot(&repo, &main(), &SnapshotOptions::default());
        found.unwrap_err().to_string()
    };
    assert_eq!(
        error(&anonymous(&hub, folder.path())),
        format!(
            "org/nam is not on {endpoint}, or is private: no token is in use; `hfcore login` stores one, HF_TOKEN gives \
            one; did you mean org/name?"
        )
    );
    assert_eq!(
        error(&ada(&hub, folder.path())),
        format!(
            "org/nam is not on {endpoint}, or is private: the account of the token in use does not see it; did you mean \
            org/name?"
        )
    );
    let dataset = Repo::new(RepoType::Dataset, "org/nothing".parse().unwrap());
    let found = anonymous(&hub, folder.path()).resolve(&dataset, &main());
    assert!(
        found
            .unwrap_err()
            .to_string()
            .starts_with("datasets/org/nothing is not on")
    );
}

#[test]
fn a_gated_repository_names_the_page_and_the_account() {
    let (hub, folder) = (filled(), temporary());
    hub.model("org/gated")
        .file("config.json", "{}")
        .gated(&[])
        .create();
    let repo = Repo::model("org/gated").unwrap();
    let error = |client: &Hub| {
        let options = DownloadOptions::default();
        let found = client.download(&repo, &main(), &path("config.json"), &options);
        found.unwrap_err().to_string()
    };
    let page = format!("{}/org/gated", hub.endpoint());
    assert_eq!(
        error(&anonymous(&hub, folder.path())),
        format!(
            "org/gated is gated: visit {page} and accept its conditions with an account, then give its token (`hfcore \
            login`, or HF_TOKEN)"
        )
    );
    assert_eq!(
        error(&ada(&hub, folder.path())),
        format!(
            "org/gated is gated: visit {page} and accept its conditions as ada, whose token is in use"
        )
    );
    hub.world(|world| world.accept("org/gated", "ada"));
    let options = DownloadOptions::default();
    let found = ada(&hub, folder.path()).download(&repo, &main(), &path("config.json"), &options);
    assert!(found.unwrap().downloaded);
}

#[test]
fn a_token_that_is_nobodys_is_told_from_a_repository_that_is_not_there() {
    let (hub, folder) = (filled(), temporary());
    let token = Token::parse("hf_nobody").unwrap();
    let client = client(&hub.endpoint(), folder.path())
        .token(token)
        .build()
        .unwrap();
    let error = client.resolve(&model(), &main()).unwrap_err();
    assert!(matches!(error, HubError::Unauthorized { .. }), "{error}");
    assert!(error.to_string().contains("/settings/tokens"), "{error}");
}

#[test]
fn what_was_taken_down_is_told() {
    for status in [None, Some(410), Some(451), Some(403)] {
        let (hub, folder) = (filled(), temporary());
        hub.world(|world| world.disable("org/name", status.or(Some(403))));
        let error = anonymous(&hub, folder.path())
            .resolve(&model(), &main())
            .unwrap_err();
        assert!(
            matches!(error, HubError::Disabled { .. }),
            "{status:?}: {error}"
        );
    }
}

#[test]
fn forbidden_is_about_the_token() {
    let (hub, folder) = (filled(), temporary());
    hub.fault(Fault::on("/revision/").status(403));
    let error = ada(&hub, folder.path())
        .resolve(&model(), &main())
        .unwrap_err();
    assert!(matches!(error, HubError::Forbidden { .. }), "{error}");
    assert!(error.to_string().contains("403, as it was told"), "{error}");
}

/// Suggestions are a help, and never a reason to fail in another way.
#[test]
fn suggestions_are_best_effort() {
    let (hub, folder) = (filled(), temporary());
    hub.fault(Fault::on("/tree/").status(500));
    hub.fault(Fault::on("/refs").login_page());
    hub.fault(
        Fault::on("/api/models")
            .at(hfcore_hub_stand_in::Host::Hub)
            .method("GET")
            .after(1)
            .reset(),
    );
    let client = anonymous(&hub, folder.path());
    let error = download(&client, "confg.json").unwrap_err();
    assert_eq!(
        error.to_string(),
        "org/name has no confg.json at revision main"
    );
}
