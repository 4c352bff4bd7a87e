//! The key sets of identity providers that this server has fetched, and when it may fetch them again.
//!
//! Nothing here fetches: whoever finds that keys are needed gets a [`Fetch`], and `issuers::fetch` makes it. All callers that
//! need the same set wait for one flight. However many tokens name unknown keys, a set is fetched at most once in
//! `auth.jwks_interval_s`. While its provider can't be reached, a set is used for up to `auth.jwks_keep_s`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sigpersist_model::context::TenantId;
use sigpersist_model::issuer::{Issuer, KeySource};
use sigpersist_model::view::KnownKeysView;
use sigpersist_runtime::metrics;
use tokio::sync::watch;

use super::key_set::{KeySet, SetKey};
use crate::config::AuthConfig;

/// Maximum number of sets that are kept.
const KEPT_SETS: usize = 1_000;
/// Shortest and default time for which a set is fresh. Providers publish a key for hours before they sign with it.
const MIN_FRESH: Duration = Duration::from_secs(60);
const DEFAULT_FRESH: Duration = Duration::from_mins(5);
/// The pause between two attempts doubles so many times while they fail.
const MAX_DOUBLINGS: u32 = 3;

/// The place from which a set is fetched. Providers of several tenants may share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The configuration of the issuer says where (OpenID Connect Discovery 1.0).
    Discovery(Arc<str>),
    /// A URL.
    Url(Arc<str>),
}

impl Place {
    /// The place of a provider's keys; none if they were given.
    pub fn of(issuer: &Issuer) -> Option<Self> {
        match &issuer.keys {
            KeySource::Discovery => Some(Self::Discovery(issuer.issuer.as_str().into())),
            KeySource::Url(url) => Some(Self::Url(url.as_str().into())),
            KeySource::Given(_) => None,
        }
    }
}

/// A fetch that a caller needs before a token can be verified.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The place.
    pub place: Place,
    /// The tenant on whose account it is made.
    pub tenant: TenantId,
    /// When somebody last told servers to fetch the set again.
    pub refreshed_at: Option<DateTime<Utc>>,
}

/// A set that was just fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The set.
    pub set: KeySet,
    /// The time for which the provider lets it be kept; none if it did not say.
    pub max_age: Option<Duration>,
}

/// The result of a lookup.
pub(super) enum Found {
    /// The key, and the time until which it may be used without another look.
    Key(Arc<SetKey>, DateTime<Utc>),
    /// The set does not have it, and may not be fetched again yet.
    Unknown,
    /// The set must be fetched first.
    Needs(Fetch),
    /// The set can't be fetched at the moment.
    Unavailable,
}

/// The sets, by their places.
#[derive(Debug)]
pub struct KeySets {
    slots: quick_cache::sync::Cache<Place, Arc<Slot>>,
    interval: Duration,
    keep: Duration,
    max_fresh: Duration,
}

#[derive(Debug)]
struct Slot {
    state: Mutex<State>,
    landed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    is_flying: bool,
    tried_at: Option<Instant>,
    failures: u32,
    failure: Option<String>,
    /// The last refresh that was tried, so that it is tried at once only once.
    refreshed_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Held {
    set: Arc<KeySet>,
    at: Instant,
    time: DateTime<Utc>,
    fresh_for: Duration,
    /// The last refresh that somebody had asked for when its fetch began.
    refreshed_at: Option<DateTime<Utc>>,
}

/// An attempt to begin a fetch.
#[derive(Debug)]
pub enum TakeOff {
    /// The caller makes it.
    Begun(Flight),
    /// Somebody makes it already.
    Underway,
    /// Somebody made it a moment ago.
    NotDue,
}

/// A fetch in progress. If it is dropped without a result, it has failed.
#[derive(Debug)]
pub struct Flight {
    slot: Arc<Slot>,
    has_landed: bool,
    refreshed_at: Option<DateTime<Utc>>,
    /// The attempt before, and the refresh before.
    before: (Option<Instant>, Option<DateTime<Utc>>),
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.has_landed {
            self.land(Err("The fetch was interrupted.".to_owned()), MIN_FRESH);
        }
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The time until which nothing is fetched.
    fn rests(&self, interval: Duration) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(MAX_DOUBLINGS);
        let pause = interval * (1 << doublings);
        let since = self.tried_at.map(|at| at.elapsed());
        since.map_or(Duration::ZERO, |since| pause.saturating_sub(since))
    }

    fn is_outdated(&self, refreshed_at: Option<DateTime<Utc>>) -> bool {
        self.refreshed_at < refreshed_at
    }
}

impl Flight {
    /// Stores a result. Returns whether keys are gone that verified tokens before.
    fn land(&mut self, fetched: Result<Fetched, String>, max_fresh: Duration) -> bool {
        self.has_landed = true;
        let mut state = self.slot.state();
        state.is_flying = false;
        let mut are_gone = false;
        match fetched {
            Ok(Fetched { set, max_age }) => {
                are_gone = (state.held.as_ref()).is_some_and(|held| !held.set.is_within(&set));
                let fresh_for = max_age.unwrap_or(DEFAULT_FRESH);
                (state.failures, state.failure) = (0, set.lack());
                state.held = Some(Held {
                    set: Arc::new(set),
                    at: Instant::now(),
                    time: Utc::now(),
                    fresh_for: fresh_for.max(MIN_FRESH.min(max_fresh)).min(max_fresh),
                    refreshed_at: self.refreshed_at,
                });
            }
            Err(why) => {
                state.failures = state.failures.saturating_add(1);
                state.failure = Some(why);
            }
        }
        drop(state);
        self.slot.landed.send_modify(|flights| *flights += 1);
        are_gone
    }

    /// Ends a flight in which nobody asked the provider, so that it counts as no attempt.
    pub fn give_up(mut self) {
        self.has_landed = true;
        let mut state = self.slot.state();
        state.is_flying = false;
        (state.tried_at, state.refreshed_at) = self.before;
        drop(state);
        self.slot.landed.send_modify(|flights| *flights += 1);
    }
}

impl KeySets {
    /// No sets.
    pub(super) fn new(config: &AuthConfig) -> Self {
        Self {
            slots: quick_cache::sync::Cache::new(KEPT_SETS),
            interval: Duration::from_secs(config.jwks_interval_s),
            keep: Duration::from_secs(config.jwks_keep_s),
            max_fresh: Duration::from_secs(config.jwks_max_age_s),
        }
    }

    fn slot(&self, place: &Place) -> Arc<Slot> {
        let new = || {
            Ok::<_, std::convert::Infallible>(Arc::new(Slot {
                state: Mutex::default(),
                landed: watch::Sender::new(0),
            }))
        };
        self.slots
            .get_or_insert_with(place, new)
            .unwrap_or_else(|never| match never {})
    }

    /// Looks for a key. After a fetch, `may_wait` is false: then what is known has to do.
    pub(super) fn find(&self, fetch: Fetch, kid: &str, may_wait: bool) -> Found {
        let slot = self.slot(&fetch.place);
        let state = slot.state();
        let is_outdated = state.is_outdated(fetch.refreshed_at);
        let rests = state.rests(self.interval);
        let may_fetch = may_wait && (state.is_flying || is_outdated || rests.is_zero());
        let held = state.held.as_ref();
        let Some(held) = held.filter(|held| held.at.elapsed() < self.keep) else {
            return match may_fetch {
                true => Found::Needs(fetch),
                false => Found::Unavailable,
            };
        };
        // A refresh that failed leaves a set that is used for want of a better one.
        let is_fresh =
            held.at.elapsed() < held.fresh_for && held.refreshed_at >= fetch.refreshed_at;
        match held.set.get(kid) {
            Some(key) if is_fresh => Found::Key(Arc::clone(key), later(held.time, held.fresh_for)),
            _ if may_fetch => Found::Needs(fetch),
            // The provider can't be reached. The next attempt may come after a rest.
            Some(key) => {
                let until = later(Utc::now(), rests.min(self.interval));
                Found::Key(Arc::clone(key), until.min(later(held.time, self.keep)))
            }
            None => Found::Unknown,
        }
    }

    /// Counts the flights to a place that have landed. Ask for this before [`Self::take_off`], so that none is missed.
    pub fn landings(&self, place: &Place) -> watch::Receiver<u64> {
        self.slot(place).landed.subscribe()
    }

    /// Begins to fetch a set.
    pub fn take_off(&self, fetch: &Fetch) -> TakeOff {
        let slot = self.slot(&fetch.place);
        let (refreshed_at, before) = {
            let mut state = slot.state();
            let is_due =
                state.is_outdated(fetch.refreshed_at) || state.rests(self.interval).is_zero();
            if state.is_flying {
                return TakeOff::Underway;
            }
            if !is_due {
                return TakeOff::NotDue;
            }
            let before = (state.tried_at, state.refreshed_at);
            state.is_flying = true;
            state.tried_at = Some(Instant::now());
            state.refreshed_at = state.refreshed_at.max(fetch.refreshed_at);
            (state.refreshed_at, before)
        };
        TakeOff::Begun(Flight {
            slot,
            has_landed: false,
            refreshed_at,
            before,
        })
    }

    /// Stores the result of a flight. Returns whether keys are gone that verified tokens before.
    pub(super) fn land(&self, mut flight: Flight, fetched: Result<Fetched, String>) -> bool {
        flight.land(fetched, self.max_fresh)
    }

    /// The keys that are known of a place; none if nobody has tried to fetch it.
    pub fn known(&self, place: &Place) -> Option<KnownKeysView> {
        let slot = self.slots.get(place)?;
        let state = slot.state();
        state.tried_at?;
        let held = state.held.as_ref();
        let mut known = held.map_or_else(empty, |held| known_of(&held.set));
        known.fetched_at = held.map(|held| held.time.into());
        known.failure.clone_from(&state.failure);
        Some(known)
    }

    /// Records the age of the oldest set for the metrics.
    pub fn record(&self) {
        let ages = self.slots.iter().filter_map(|(_, slot)| {
            let state = slot.state();
            state.held.as_ref().map(|held| held.at.elapsed())
        });
        metrics::issuer_keys_age(ages.max().unwrap_or_default());
    }
}

fn empty() -> KnownKeysView {
    KnownKeysView {
        kids: Vec::new(),
        left_out: Vec::new(),
        fetched_at: None,
        failure: None,
    }
}

/// The keys of a set, for people.
pub fn known_of(set: &KeySet) -> KnownKeysView {
    KnownKeysView {
        kids: set.kids().map(ToOwned::to_owned).collect(),
        left_out: set.left_out().to_vec(),
        ..empty()
    }
}

/// A time so much later, or the end of time.
fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| time.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sigpersist_model::key::Algorithm;

    use super::*;
    use crate::auth::key::new_key_pair;

    fn set(kids: &[&str]) -> Result<Fetched, String> {
        let key = |kid: &&str| {
            let (public, _) = new_key_pair(Algorithm::EdDsa).unwrap();
            public.to_jwk(kid).unwrap()
        };
        let keys: Vec<_> = kids.iter().map(key).collect();
        let text = json!({ "keys": keys }).to_string();
        Ok(Fetched {
            set: KeySet::fetched(text.as_bytes())?,
            max_age: Some(Duration::from_secs(86_400)),
        })
    }

    fn sets(interval_s: u64, keep_s: u64, max_age_s: u64) -> KeySets {
        KeySets::new(&AuthConfig {
            jwks_interval_s: interval_s,
            jwks_keep_s: keep_s,
            jwks_max_age_s: max_age_s,
            ..AuthConfig::default()
        })
    }

    fn fetch() -> Fetch {
        Fetch {
            place: Place::Url("https://id.example.com/keys".into()),
            tenant: TenantId(1),
            refreshed_at: None,
        }
    }

    fn flight(sets: &KeySets, fetch: &Fetch) -> Flight {
        match sets.take_off(fetch) {
            TakeOff::Begun(flight) => flight,
            other => panic!("{other:?}"),
        }
    }

    fn word(found: &Found) -> &'static str {
        match found {
            Found::Key(..) => "key",
            Found::Unknown => "unknown",
            Found::Needs(_) => "needs",
            Found::Unavailable => "unavailable",
        }
    }

    #[test]
    fn one_flight_at_a_time_serves_all_and_unknown_names_start_no_other_for_a_while() {
        let sets = sets(30, 3_600, 3_600);
        let find = |kid, may_wait| word(&sets.find(fetch(), kid, may_wait));
        assert_eq!(
            (find("a", true), find("a", false)),
            ("needs", "unavailable")
        );
        let landings = sets.landings(&fetch().place);
        let first = flight(&sets, &fetch());
        assert!(matches!(sets.take_off(&fetch()), TakeOff::Underway));
        assert_eq!(find("a", true), "needs");
        assert!(!sets.land(first, set(&["a", "b"])));
        assert!(landings.has_changed().unwrap());
        assert_eq!((find("a", true), find("x", true)), ("key", "unknown"));
        assert!(matches!(sets.take_off(&fetch()), TakeOff::NotDue));
        // Unless somebody asks for it.
        let mut asked = fetch();
        asked.refreshed_at = Some(Utc::now());
        assert_eq!(word(&sets.find(asked.clone(), "a", true)), "needs");
        let second = flight(&sets, &asked);
        assert!(sets.land(second, set(&["b"])), "a is gone");
        assert_eq!(word(&sets.find(asked.clone(), "a", true)), "unknown");
        assert!(matches!(sets.take_off(&asked), TakeOff::NotDue));
    }

    #[test]
    fn a_refresh_that_fails_is_tried_again_and_leaves_no_set_fresh() {
        let sets = sets(0, 3_600, 3_600);
        let mut asked = fetch();
        sets.land(flight(&sets, &asked), set(&["withdrawn"]));
        assert_eq!(word(&sets.find(asked.clone(), "withdrawn", true)), "key");
        asked.refreshed_at = Some(Utc::now());
        sets.land(flight(&sets, &asked), Err("down".to_owned()));
        assert_eq!(word(&sets.find(asked.clone(), "withdrawn", true)), "needs");
        assert_eq!(word(&sets.find(asked.clone(), "withdrawn", false)), "key");
        sets.land(flight(&sets, &asked), set(&["new"]));
        assert_eq!(word(&sets.find(asked, "withdrawn", true)), "needs");
    }

    #[test]
    fn a_flight_that_is_given_up_counts_as_no_attempt() {
        let sets = sets(30, 3_600, 3_600);
        let landings = sets.landings(&fetch().place);
        flight(&sets, &fetch()).give_up();
        assert!(landings.has_changed().unwrap());
        assert!(sets.known(&fetch().place).is_none());
        sets.land(flight(&sets, &fetch()), set(&["a"]));
        assert_eq!(word(&sets.find(fetch(), "a", true)), "key");
    }

    #[test]
    fn a_set_outlives_a_provider_that_is_down_for_as_long_as_it_may_be_kept() {
        let sets = sets(0, 3_600, 0);
        let find = |may_wait| word(&sets.find(fetch(), "a", may_wait));
        sets.land(flight(&sets, &fetch()), set(&["a"]));
        assert_eq!(find(true), "needs", "it is not fresh for a moment");
        sets.land(flight(&sets, &fetch()), Err("down".to_owned()));
        assert_eq!(find(false), "key");
        let known = sets.known(&fetch().place).unwrap();
        assert_eq!(
            (known.kids, known.failure),
            (vec!["a".to_owned()], Some("down".to_owned()))
        );
        drop(flight(&sets, &fetch()));
        let known = sets.known(&fetch().place).unwrap();
        assert!(known.failure.unwrap().contains("interrupted"));
        let forgetful = self::sets(30, 0, 3_600);
        forgetful.land(flight(&forgetful, &fetch()), set(&["a"]));
        let found = forgetful.find(fetch(), "a", true);
        assert_eq!(word(&found), "unavailable");
    }

    #[test]
    fn the_pause_between_attempts_grows_with_failures_to_a_limit() {
        let state = |failures| State {
            tried_at: Some(Instant::now()),
            failures,
            ..State::default()
        };
        let pause = |failures| {
            let rests = state(failures).rests(Duration::from_secs(30));
            rests.as_secs_f64().round()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 1_000].map(pause),
            [30.0, 30.0, 60.0, 120.0, 240.0, 240.0, 240.0]
        );
    }
}
