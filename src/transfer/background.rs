//! Exports and imports in the background of a server. The spool keeps their files and their state.

use std::sync::Arc;

use sigpersist_model::audit::Actor;
use sigpersist_model::context::Tenancy;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::transfer::Imported;
use sigpersist_runtime::blocking;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument as _, error};

use super::export::{Options as ExportOptions, export};
use super::import::{Arrival, Options as ImportOptions, check, import, importing};
use crate::app::App;
use crate::auth::envelope::Passphrase;
use crate::spool::{ExportJob, ImportJob};
use crate::tenants::{self, NewTenant};

/// Begins an export of a tenant.
///
/// # Errors
///
/// [`Error::Overloaded`] if too many transfers run, and [`Error::Refused`] if there is no room for its file.
pub fn begin_export(
    app: &Arc<App>,
    tenancy: &Tenancy,
    actor: Actor,
    options: ExportOptions,
) -> Result<Arc<ExportJob>> {
    let permit = app.spool.permit()?;
    let (job, file) = ExportJob::begin(&app.spool, tenancy, options.keys.is_some())?;
    let (worked, ended, slug) = (
        Arc::clone(&job),
        Arc::clone(&job),
        Arc::clone(&tenancy.slug),
    );
    let work = move |app: &App| {
        let tenant = tenants::get(app, &slug)?;
        worked.write(&app.spool, file, |output| {
            let progress = |done, all| worked.advance(done, all);
            export(app, &tenant, &actor, output, &options, progress)
        })
    };
    in_background(app, permit, work, move |result| ended.end(result));
    Ok(job)
}

/// The beginning of an import.
#[derive(Debug)]
pub struct BeginImport {
    /// Creates the tenant if it does not exist.
    pub create: bool,
    /// Whether the keys in the file are imported, too.
    pub with_keys: bool,
    /// Opens the keys in the file.
    pub passphrase: Option<Passphrase>,
    /// The options of the import itself.
    pub options: ImportOptions,
}

/// Begins the import of a file that has arrived whole.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such tenant, [`Error::Overloaded`] if too many transfers run, and the errors of
/// [`ImportJob::begin`].
pub fn begin_import(
    app: &Arc<App>,
    job: &Arc<ImportJob>,
    actor: Actor,
    begin: BeginImport,
) -> Result<()> {
    if !begin.create {
        tenants::get(app, &job.tenant)?;
    }
    let permit = app.spool.permit()?;
    job.begin()?;
    let (worked, ended) = (Arc::clone(job), Arc::clone(job));
    let work = move |app: &App| run_import(app, &worked, &actor, &begin);
    in_background(app, permit, work, move |result| ended.end(result));
    Ok(())
}

fn run_import(app: &App, job: &ImportJob, actor: &Actor, begin: &BeginImport) -> Result<Imported> {
    let open = || Arrival::open(app, job.open()?, begin.passphrase.as_ref(), begin.with_keys);
    let slug = &job.tenant;
    let progress = |done, all| job.advance(done, all);
    check(app, slug, open()?, progress)?;
    job.is_checked();
    // Before the tenant is created, so that a file that can't be read leaves nothing behind.
    let arrival = open()?;
    let tenant = if begin.create {
        let new = NewTenant {
            slug: slug.clone(),
            // Nobody is answered before all is there.
            incomplete: Some(importing(arrival.tenant())),
            expects_log: app.config.evidence.log && arrival.has_log(),
            ..NewTenant::default()
        };
        tenants::create(app, actor, &new)?.0
    } else {
        tenants::get(app, slug)?
    };
    import(app, &tenant, actor, arrival, begin.options, progress)
}

/// Runs work on a thread of its own, and gives its result to `end`. The work fails if it panics, and if the store gives up
/// on a database that does not answer.
fn in_background<T: Send + 'static>(
    app: &Arc<App>,
    permit: OwnedSemaphorePermit,
    work: impl FnOnce(&App) -> Result<T> + Send + 'static,
    end: impl FnOnce(Result<T>) + Send + 'static,
) {
    let app = Arc::clone(app);
    let run = async move {
        // The application is dropped before the result is told, since a command ends then.
        let done = blocking::run(permit, move || work(&app)).await;
        let result = done.and_then(|result| result);
        if let Err(failure @ Error::Internal(_)) = &result {
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            error!(cause, "A transfer failed");
        }
        end(result);
    };
    drop(tokio::spawn(run.in_current_span()));
}
