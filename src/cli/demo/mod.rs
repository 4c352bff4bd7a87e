//! `sigpersist demo`: a tour of the whole program on real input. Prints each step as a command that anyone can repeat,
//! and its answer.

mod receiver;

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use serde_json::{Value, json};
use sigpersist_model::audit::Actor;
use sigpersist_model::context::TenantId;
use sigpersist_model::key::Algorithm;
use sigpersist_model::signature::Preconditions;
use sigpersist_postgres::embedded::Purpose;
use tracing::info;
use zeroize::Zeroizing;

use self::receiver::Receiver;
use super::listener::{bind, listening_line};
use super::made_in;
use super::open_files;
use super::output::Output;
use super::proof;
use super::serve::{Signals, Starting, in_background, runtime};
use crate::app::{App, Database};
use crate::config::Config;
use crate::http;
use crate::log;
use crate::log::offline::{GivenKey, Quorum};
use crate::plugins::{self, HookRequest, Upload};
use crate::telemetry;
use crate::tenants;
use crate::tenants::{NewKey, NewTenant, NewToken};
use crate::webhooks::{self, NewWebhook};

const TENANT: &str = "demo";
/// The two plugins, in the order in which they run.
const PLUGINS: [(&str, &[u8]); 2] = [
    (
        "signer-tags",
        include_bytes!("../../../plugins/signer-tags/signer-tags.wasm"),
    ),
    (
        "require-countersignature",
        include_bytes!("../../../plugins/require-countersignature/require-countersignature.wasm"),
    ),
];
const FIRST: &str = include_str!("../../../tests/data/first.cms.b64");
const COUNTERSIGNED: &str = include_str!("../../../tests/data/countersigned.cms.b64");
const DROPPED: &str = include_str!("../../../tests/data/dropped.cms.b64");
/// A tag that `signer-tags` derives from the first signer's certificate.
const DERIVED_TAG: &str = "iin:123456789011";
/// Longest text that an answer is shown with.
const SHOWN_CHARS: usize = 60;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Stop after the last step instead of staying up.
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub(super) fn run(self, mut config: Config, output: &Output) -> anyhow::Result<()> {
        if let Some(listen) = self.listen {
            config.http.listen = listen;
        }
        // The demo shows the embedded database, and leaves a database of the user's alone.
        config.database_url = None;
        config.log.filter = "warn".to_owned();
        // The demo's own receiver is on this machine.
        config.webhooks.allow = "127.0.0.1".to_owned();
        telemetry::init(&config.log, &config.traces)?;
        open_files::make_room(&mut config)?;
        let runtime = runtime(&config)?;
        let signals = Signals::new(&runtime)?;
        let starting = Starting::new(&runtime)?;
        let listener = runtime.block_on(bind(&config.http.listen, "address with --listen"))?;
        let base = format!("http://{}", listener.local_addr()?);
        let listening = listening_line(&listener)?;

        output.line("Starting a private Postgres in the data directory, and a server on it …")?;
        let database = Database::open(&config, Purpose::Serve)?;
        if let Some(data_dir) = database.made_in() {
            output.note(&made_in(data_dir));
        }
        database.prepare(true)?;
        let data_dir = database
            .embedded_dir()
            .context("the demo's database is embedded")?
            .to_owned();
        let app = Arc::new(App::new(config, &database)?);
        let changes = app.listen()?;
        let background = {
            let _runtime = runtime.enter();
            in_background(&app)
        };
        let receiver = Receiver::start()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = runtime.spawn(http::serve(
            http::Server::new(Arc::clone(&app)),
            listener,
            async {
                // Told to stop, or the other side is gone: both mean stop.
                drop(stopped.await);
            },
        ));
        drop(starting);
        output.line(&listening)?;

        let mut tour = Tour::new(&app, output, base, &data_dir, &receiver)?;
        tour.run()?;
        if self.exit {
            drop(stop);
        } else {
            tour.farewell()?;
            runtime.block_on(signals.stop());
            drop(stop);
        }
        info!("Stopping");
        runtime.block_on(serving)??;
        drop(background);
        drop(changes);
        Ok(())
    }
}

/// The steps, and what they share.
struct Tour<'a> {
    app: &'a App,
    output: &'a Output,
    base: String,
    /// Where the requests' bodies and the token are kept, for the reader to send again.
    folder: PathBuf,
    data_dir: PathBuf,
    receiver: &'a Receiver,
    token: String,
    document: String,
    agent: ureq::Agent,
}

impl<'a> Tour<'a> {
    fn new(
        app: &'a App,
        output: &'a Output,
        base: String,
        data_dir: &Path,
        receiver: &'a Receiver,
    ) -> anyhow::Result<Self> {
        let folder = data_dir.join("demo");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("{} can't be created", folder.display()))?;
        // A thread that no tour before has begun.
        let ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        Ok(Self {
            app,
            output,
            base,
            folder,
            data_dir: data_dir.to_owned(),
            receiver,
            token: String::new(),
            document: format!("contract-{ms}"),
            agent,
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let tenant = self.set_up()?;
        let (webhook, secret) = self.webhook(tenant)?;
        self.requests()?;
        self.called(tenant, webhook, &secret)?;
        self.proof()
    }

    /// The first steps of an admin and an operator, with the commands for them.
    fn set_up(&mut self) -> anyhow::Result<TenantId> {
        let data_dir = self.data_dir.display();
        self.title("A tenant, a key, and a token that the key signs")?;
        let (tenant, _) = tenants::create(
            self.app,
            &Actor::command_line(),
            &NewTenant {
                name: Some("Demonstration".to_owned()),
                ..NewTenant::new(TENANT)
            },
        )?;
        self.command(&format!(
            "sigpersist --data-dir {data_dir} tenant create {TENANT} --name Demonstration"
        ))?;
        let (actor, holder) = (
            Actor::command_line(),
            tenants::owner(self.app, Some(TENANT))?,
        );
        tenants::add_key(self.app, &actor, &holder, &NewKey::made(Algorithm::Hs256))?;
        self.command(&format!(
            "sigpersist --data-dir {data_dir} key add {TENANT}"
        ))?;
        let new = NewToken {
            scopes: None,
            subject: Some("newcomer".to_owned()),
            lifetime: Some(Duration::from_secs(24 * 3600)),
            bound_to: None,
            kid: None,
        };
        let token = tenants::issue_token(self.app, &actor, &holder, new)?.token;
        let path = self.write("token", &token)?;
        self.command(&format!(
            "sigpersist --data-dir {data_dir} token issue {TENANT} --subject newcomer --ttl 24h >{0}\n  TOKEN=$(cat {0})",
            path.display()
        ))?;
        self.token = token;

        self.title("Two WebAssembly plugins, bound to the tenant's saves")?;
        for (order, (name, component)) in (1..).zip(PLUGINS) {
            let upload = Upload::of(component);
            plugins::upload(self.app, None, actor.clone(), name, &upload)?;
            let request = HookRequest {
                order,
                ..HookRequest::new(name)
            };
            plugins::set_hook(
                self.app,
                tenant.id,
                &actor,
                name,
                &request,
                &Preconditions::default(),
            )?;
            self.command(&format!(
                "sigpersist --data-dir {data_dir} plugin upload {name} plugins/{name}/{name}.wasm"
            ))?;
            self.command(&format!(
                "sigpersist --data-dir {data_dir} hook set {TENANT} {name} --plugin {name} --order {order}"
            ))?;
        }
        Ok(tenant.id)
    }

    /// A webhook for the tenant's application: the demo itself.
    fn webhook(&self, tenant: TenantId) -> anyhow::Result<(i64, Zeroizing<String>)> {
        self.title(
            "A webhook: a URL of the application, to be called with whatever happens to versions",
        )?;
        let url = &self.receiver.url;
        let new = NewWebhook {
            url: url.clone(),
            types: vec!["version.".to_owned()],
            after: None,
        };
        let made = webhooks::create(self.app, &Actor::command_line(), tenant, new)?;
        self.command(&format!(
            "sigpersist --data-dir {} webhook create {TENANT} {url} --type version.",
            self.data_dir.display()
        ))?;
        Ok((made.webhook.id, made.secret))
    }

    /// Shows the calls of the webhook, and deletes it, since nobody listens when the demo is over.
    fn called(&self, tenant: TenantId, webhook: i64, secret: &str) -> anyhow::Result<()> {
        self.title(
            "Meanwhile the webhook was called twice, in order, signed with its secret (verified)",
        )?;
        for call in self.receiver.calls(2, secret)? {
            self.output
                .line(&format!("  POST {} {call}", self.receiver.url))?;
        }
        webhooks::delete(self.app, &Actor::command_line(), tenant, webhook)?;
        Ok(())
    }

    /// A proof, got over HTTP and verified without the server.
    fn proof(&self) -> anyhow::Result<()> {
        self.title("A proof that version 2 is in the tenant's log, for whoever asks in years")?;
        let folder = self.folder.join("proof");
        let url = format!(
            "{}/signature/proof?document={}&thread=demo&format=bundle",
            self.base, self.document
        );
        let bundle = self
            .agent
            .get(&url)
            .header("authorization", format!("Bearer {}", self.token))
            .call()?
            .body_mut()
            .read_to_vec()?;
        proof::unpack(bundle, &folder)?;
        self.command(&format!(
            "sigpersist --data-dir {} proof get {TENANT} {} demo --output {}",
            self.data_dir.display(),
            self.document,
            folder.display()
        ))?;

        self.title("It is verified with nothing but its files and the public key of the log")?;
        let keys = log::verifying_keys(self.app)?;
        let key = keys.last().context("The log has no key")?.public_key;
        self.command(&format!(
            "sigpersist proof verify {} --log-key {}",
            folder.display(),
            BASE64.encode(key)
        ))?;
        let proven = proof::verified(&folder, &[GivenKey::Bare(key)], &Quorum::default())?;
        let sentence = proof::sentence(&proven).replace('\n', "\n  ");
        self.output.line(&format!("  {sentence}"))
    }

    fn requests(&self) -> anyhow::Result<()> {
        self.title("Aigerim signs: the first version. The hook derives tags from her certificate")?;
        let saved = self.post("first", 0, FIRST, 201)?;
        let tags = saved
            .pointer("/content/signature/tags")
            .unwrap_or(&Value::Null);
        ensure!(
            tags.to_string().contains(DERIVED_TAG),
            "The tags were not derived"
        );

        self.title("Daulet countersigns, over version 1")?;
        self.post("countersigned", 1, COUNTERSIGNED, 201)?;

        self.title("Someone sends a version that drops Aigerim: the second hook refuses it")?;
        let refused = self.post("dropped", 2, DROPPED, 422)?;
        ensure!(
            refused.get("code") == Some(&json!("hook_rejected")),
            "The hook did not refuse"
        );

        self.title(
            "The same request again, as after a lost answer: still version 2, nothing stored twice",
        )?;
        self.post("countersigned", 1, COUNTERSIGNED, 200)?;

        self.title("Read back: both signers, byte for byte")?;
        let read = self.get(
            &format!("/signature?document={}&thread=demo", self.document),
            200,
        )?;
        let signature = read
            .pointer("/content/signature/signature")
            .and_then(Value::as_str);
        ensure!(
            signature == Some(COUNTERSIGNED.trim()),
            "The signature came back changed"
        );

        self.title("Listed by a tag that the hook derived")?;
        let listed = self.get(
            &format!("/signatures?tags={DERIVED_TAG}&limit=1&count=true&omit=signature"),
            200,
        )?;
        ensure!(
            listed.pointer("/content/signatures/0/document") == Some(&json!(self.document)),
            "The thread is not listed"
        );

        self.title("Its history")?;
        self.get(
            &format!(
                "/signature/versions?document={}&thread=demo&omit=signature",
                self.document
            ),
            200,
        )?;
        Ok(())
    }

    fn post(&self, name: &str, version: u32, cms: &str, expected: u16) -> anyhow::Result<Value> {
        let body = json!({
            "document": self.document,
            "thread": "demo",
            "version": version,
            "cms": cms.trim(),
            "version_created_by": "newcomer",
            "version_comment": name,
            "tags": ["demo"],
        });
        let path = self.write(&format!("{name}.json"), &body.to_string())?;
        self.command(&format!(
            "curl -s -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n    -d @{} {}/signature",
            path.display(),
            self.base
        ))?;
        let response = self
            .agent
            .post(format!("{}/signature", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .send(body.to_string())?;
        self.answer(response, expected)
    }

    fn get(&self, path: &str, expected: u16) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        self.command(&format!(
            "curl -s -H \"Authorization: Bearer $TOKEN\" '{url}'"
        ))?;
        let response = self
            .agent
            .get(&url)
            .header("authorization", format!("Bearer {}", self.token))
            .call()?;
        self.answer(response, expected)
    }

    fn answer(
        &self,
        mut response: ::http::Response<ureq::Body>,
        expected: u16,
    ) -> anyhow::Result<Value> {
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(1 << 28)
            .read_to_string()?;
        let answer: Value = serde_json::from_str(&text)?;
        let mut shown = answer.clone();
        shorten(&mut shown);
        let shown = serde_json::to_string_pretty(&shown)?.replace('\n', "\n  ");
        self.output.line(&format!("  {status}\n  {shown}"))?;
        ensure!(
            status.as_u16() == expected,
            "Expected the status {expected}, got {status}"
        );
        Ok(answer)
    }

    fn title(&self, text: &str) -> anyhow::Result<()> {
        self.output.line(&format!("\n{text}"))
    }

    fn command(&self, text: &str) -> anyhow::Result<()> {
        self.output.line(&format!("$ {text}"))
    }

    /// Writes a file that only its user can read: the token is one.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        let mut file = std::fs::File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{} can't be written", path.display()))?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    fn farewell(&self) -> anyhow::Result<()> {
        self.output.line(&format!(
            "\nThe demo is complete, and the server keeps running: go on in another terminal. All files are in {}.\n\
             $ TOKEN=$(cat {})\n\
             $ curl -s -H \"Authorization: Bearer $TOKEN\" '{}/signatures?limit=5&omit=signature'\n\
             Ctrl-C stops the server and its database; `sigpersist serve --data-dir {}` starts them again.",
            self.data_dir.display(),
            self.folder.join("token").display(),
            self.base,
            self.data_dir.display(),
        ))
    }
}

/// Shortens texts that would fill the screen: signatures are thousands of characters.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().count() > SHOWN_CHARS * 2 && !text.contains(' ') => {
            let head: String = text.chars().take(SHOWN_CHARS).collect();
            *text = format!("{head}… ({} characters)", text.chars().count());
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}
