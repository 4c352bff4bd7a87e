//! The course of one request: check, look up once, vet, connect, exchange.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::connection::Line;
use crate::exchange::{Answer, Limits, Request, exchange};
use crate::failure::Failure;
use crate::lookup::{Names, of_system};
use crate::refused::Refused;
use crate::rules::Rules;
use crate::target::{Host, Target};
use crate::tls::{self, Roots, RootsError};

/// Longest time of a request, whatever its limits say. It also keeps deadlines within what the clock can count.
const MAX_WHOLE: Duration = Duration::from_secs(3600);

/// Makes requests to permitted addresses. Clones share everything.
#[derive(Clone)]
pub struct Outbound(Arc<Parts>);

struct Parts {
    rules: Rules,
    tls: Arc<ClientConfig>,
    names: Names,
}

impl Outbound {
    /// Loads the certificate authorities, once.
    ///
    /// # Errors
    ///
    /// [`RootsError`] if there are none, or a broken one.
    pub fn new(rules: Rules, roots: Roots) -> Result<Self, RootsError> {
        Self::with_resolver(rules, roots, of_system)
    }

    /// Like [`Self::new`], with addresses of names from elsewhere than the system.
    ///
    /// # Errors
    ///
    /// [`RootsError`] if there are no certificate authorities, or a broken one.
    pub fn with_resolver(
        rules: Rules,
        roots: Roots,
        resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Result<Self, RootsError> {
        Ok(Self(Arc::new(Parts {
            rules,
            tls: tls::config(&roots)?,
            names: Names::new(resolver),
        })))
    }

    /// Judges a URL without asking DNS.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the first reason found.
    pub fn check(&self, url: &str) -> Result<Target, Refused> {
        Target::read(url, &self.0.rules)
    }

    /// Judges a URL and the addresses that its name has now. Blocks for at most the time that [`Limits`] has for connecting.
    ///
    /// For people who enter a URL: a webhook that can't work is refused at once. [`Self::send`] judges for itself.
    ///
    /// # Errors
    ///
    /// [`Refused`], also if the name has no address.
    pub fn check_now(&self, url: &str) -> Result<Target, Refused> {
        let target = self.check(url)?;
        let until = Instant::now() + Limits::default().connect;
        match self.vetted(&target, until) {
            Ok(_) => Ok(target),
            Err(Failure::Refused(refused)) => Err(refused),
            Err(_) => Err(Refused::NotFound),
        }
    }

    /// Sends a request and reads its answer. Blocks for at most `limits.whole`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no whole answer. An answer with any status is none.
    pub fn send(&self, request: Request<'_>, limits: Limits) -> Result<Answer, Failure> {
        let begin = Instant::now();
        let until = begin + limits.whole.min(MAX_WHOLE);
        let connected = until.min(begin + limits.connect.min(MAX_WHOLE));
        let target = self.check(request.url)?;
        let addresses = self.vetted(&target, connected)?;
        let tls = target.is_https().then(|| (&self.0.tls, target.host()));
        let line = Line::open(&addresses, tls, connected, until, limits.max_answer)?;
        exchange(line, &target, request, limits, until)
    }

    /// The addresses of a target, if each of them is permitted.
    ///
    /// One that is not is reason enough to refuse: a name with a public and a private address is how somebody tries whether
    /// the check and the connection look at the same one.
    fn vetted(&self, target: &Target, until: Instant) -> Result<Vec<SocketAddr>, Failure> {
        let found = match target.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.0.names.addresses(name, until)?,
        };
        let (port, is_https) = (target.port(), target.is_https());
        if !found
            .iter()
            .all(|address| self.0.rules.permit(*address, port, is_https))
        {
            return Err(Refused::Address.into());
        }
        Ok(found
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }
}

/// Shows the rules only.
impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("rules", &self.0.rules)
            .finish_non_exhaustive()
    }
}
