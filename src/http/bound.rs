//! Tokens for one document: the only place that decides what they are refused.
//!
//! The table of routes says how they apply to each route; they are refused on every route that says nothing. A handler
//! learns a document only from the parameters of its request, and those are bound to the token here.

use sigpersist_model::context::{Caller, OneDocument};
use sigpersist_model::error::{Error, Result};

use super::parameter::{self, Parameter};
use super::parameters::Parameters;
use super::route::{DocumentTokens, Route};

/// The reason if a request names another document than the token.
pub(super) const OTHER_DOCUMENT: &str = "the request names another one";
/// The reason if a request names another thread than the token.
const OTHER_THREAD: &str = "the request names another thread than the one that it is for";
/// The reason if a request is about more than one document.
const NOT_HERE: &str =
    "this request is about more than one, so use a token without `sigpersist_document`";

/// Refuses the caller if its token is for one document, and the route is not.
///
/// # Errors
///
/// [`Error::TokenBound`].
pub(super) fn check_route(route: &Route, caller: &Caller) -> Result<()> {
    if caller.bound_to.is_some() && route.document_tokens == DocumentTokens::Refused {
        return Err(Error::TokenBound(NOT_HERE));
    }
    Ok(())
}

/// Refuses the caller if its token is for one document, where a handler reads something else than parameters.
///
/// # Errors
///
/// [`Error::TokenBound`].
pub(super) fn check_unbound(caller: &Caller) -> Result<()> {
    match caller.bound_to {
        Some(_) => Err(Error::TokenBound(NOT_HERE)),
        None => Ok(()),
    }
}

/// Binds parameters to the document and thread of the caller's token. An optional one that is left out is filled in, so that
/// a list shows nothing else.
///
/// # Errors
///
/// [`Error::TokenBound`] if the request names another document or thread.
pub(super) fn bind(
    parameters: &mut Parameters<'_>,
    known: &[&'static Parameter],
    route: &Route,
    caller: &Caller,
) -> Result<()> {
    let has = |list: &[&Parameter], parameter: &Parameter| {
        list.iter().any(|one| one.name == parameter.name)
    };
    let Some(OneDocument { document, thread }) = &caller.bound_to else {
        return Ok(());
    };
    let of_thread = thread.as_deref();
    for (parameter, bound_to, otherwise) in [
        (&parameter::DOCUMENT, Some(&**document), OTHER_DOCUMENT),
        (&parameter::THREAD, of_thread, OTHER_THREAD),
        // Another name of the thread in lists.
        (&parameter::CHAIN, of_thread, OTHER_THREAD),
    ] {
        let Some(bound_to) = bound_to.filter(|_| has(known, parameter)) else {
            continue;
        };
        match parameters.text(parameter)? {
            Some(named) if named != bound_to => return Err(Error::TokenBound(otherwise)),
            Some(_) => {}
            None if has(route.required, parameter) => {}
            None => parameters.fill(parameter, bound_to),
        }
    }
    Ok(())
}
