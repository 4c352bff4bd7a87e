//! Query strings: pairs of names and values (WHATWG URL, application/x-www-form-urlencoded).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sigpersist_model::error::{Error, Result};

/// The name of the first parameter in a query.
pub(super) fn first_in_query(query: &str) -> Result<Option<String>> {
    let first = pairs(query).next().transpose()?;
    Ok(first.map(|(name, _)| shortened(&name)))
}

/// The pairs of a query, decoded.
///
/// # Errors
///
/// [`Error::InvalidParameter`] for what is not UTF-8.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name)?, decode(value)?))
    })
}

fn decode(text: &str) -> Result<Cow<'_, str>> {
    let decoded = if text.contains('+') {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(|decoded| Cow::Owned(decoded.into_owned()))
    } else {
        percent_decode_str(text).decode_utf8()
    };
    decoded.map_err(|_| Error::InvalidParameter {
        field: String::new(),
        message: "The query string contains bytes that are not UTF-8.".to_owned(),
    })
}

/// A name that a client chose, cut to a length that is fit for an error message.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Encodes pairs as an HTML form does (WHATWG URL, application/x-www-form-urlencoded).
    pub(in crate::http) fn form(pairs: &[(String, String)]) -> String {
        let encode = |text: &str| {
            let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            encoded.replace("%20", "+")
        };
        let pairs = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    proptest! {
        #[test]
        fn a_form_comes_back_as_it_went(
            sent in vec(("(a|b|tags)", any::<String>()), 0..6),
        ) {
            let query = form(&sent);
            let came: Vec<_> = pairs(&query).map(Result::unwrap).collect();
            prop_assert_eq!(came.len(), sent.len());
            for ((name, value), (sent_name, sent_value)) in came.iter().zip(&sent) {
                prop_assert_eq!((&**name, &**value), (&**sent_name, &**sent_value));
            }
        }
    }
}
