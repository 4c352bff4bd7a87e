//! Structs that are read from JSON objects only. Serde would also accept an array of the members' values in order.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A value read from a JSON object, and from nothing else.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Reads a member that is an object.
///
/// # Errors
///
/// If it is not an object, or not of the expected form.
pub fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// Reads a member that is an object, or null, or missing.
///
/// # Errors
///
/// The errors of [`deserialize`].
pub fn deserialize_option<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let object: Option<Object<T>> = Deserialize::deserialize(deserializer)?;
    Ok(object.map(|Object(value)| value))
}

/// Reads a list of objects.
///
/// # Errors
///
/// The errors of [`deserialize`].
pub fn deserialize_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let objects: Vec<Object<T>> = Deserialize::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        number: u32,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default, deserialize_with = "deserialize_option")]
        maybe: Option<Inner>,
        #[serde(default, deserialize_with = "deserialize_list")]
        list: Vec<Inner>,
    }

    #[test]
    fn arrays_are_no_objects_however_deep() {
        let read = |json: &str| serde_json::from_str::<Object<Outer>>(json);
        let Object(outer) = read(r#"{"maybe": {"number": 1}, "list": [{"number": 2}]}"#).unwrap();
        assert_eq!((outer.maybe.unwrap().number, outer.list[0].number), (1, 2));
        let Object(outer) = read(r#"{"maybe": null}"#).unwrap();
        assert!(outer.maybe.is_none() && outer.list.is_empty());
        for bad in [
            "[null, []]",
            r#"{"maybe": [1]}"#,
            r#"{"list": [[1]]}"#,
            r#"{"maybe": {"number": 1, "more": 2}}"#,
            r#"{"list": null}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
