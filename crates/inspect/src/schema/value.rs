//! Lets the schema library read values where they stand, so that nothing is converted.

use std::borrow::Cow;

use jsonschema::{
    JsonType,
    json::{Array, Json, JsonNumber, Node, NodeIdentity, Object},
};
use serde_json::Value;
use wire::json::{Elements, Kind, Members, Node as WireNode, Number};

/// Values of [`wire::json`].
#[derive(Debug)]
pub(super) struct Wire;

/// A value, or a property name looked at as if it were one.
#[derive(Clone, Debug)]
pub(super) enum JsonNode<'a> {
    Name(&'a str),
    Wire(WireNode<'a>),
}

impl Json for Wire {
    type Node<'a> = JsonNode<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    // A lookup reads the members in turn, so one pass over them beats any two lookups.
    const KEYS_PER_LOOKUP: usize = 1 << 20;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(JsonNode<'_>) -> T) -> T {
        f(JsonNode::Name(string))
    }
}

impl<'a> JsonNode<'a> {
    fn wire(&self) -> Option<WireNode<'a>> {
        match self {
            Self::Name(_) => None,
            Self::Wire(node) => Some(*node),
        }
    }

    fn of_kind(&self, kind: Kind) -> Option<WireNode<'a>> {
        self.wire().filter(|node| node.kind() == kind)
    }
}

impl<'a> Node<'a, Wire> for JsonNode<'a> {
    type Object = WireNode<'a>;
    type Array = WireNode<'a>;
    type Number = WireNumber<'a>;

    fn as_object(&self) -> Option<WireNode<'a>> {
        self.of_kind(Kind::Object)
    }

    fn as_array(&self) -> Option<WireNode<'a>> {
        self.of_kind(Kind::Array)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Name(name) => Some(Cow::Borrowed(name)),
            Self::Wire(node) => node.as_str(),
        }
    }

    fn as_number(&self) -> Option<WireNumber<'a>> {
        self.wire()?.as_number().map(WireNumber)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.wire()?.as_bool()
    }

    fn is_null(&self) -> bool {
        self.of_kind(Kind::Null).is_some()
    }

    fn json_type(&self) -> JsonType {
        match self.wire().map_or(Kind::String, WireNode::kind) {
            Kind::Array => JsonType::Array,
            Kind::Bool => JsonType::Boolean,
            Kind::Null => JsonType::Null,
            Kind::Number => JsonType::Number,
            Kind::Object => JsonType::Object,
            Kind::String => JsonType::String,
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(match self {
            Self::Name(name) => Value::String((*name).to_owned()),
            // What was read strictly can be read again; `const`, `enum`, `uniqueItems` and errors do.
            Self::Wire(node) => match node.as_str() {
                Some(text) => Value::String(text.into_owned()),
                None => serde_json::from_str(node.written()).unwrap_or(Value::Null),
            },
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(match self {
            Self::Name(name) => NodeIdentity::tagged(name.as_ptr().addr(), u32::MAX),
            Self::Wire(node) => {
                NodeIdentity::tagged(std::ptr::from_ref(node.document()).addr(), node.place())
            }
        })
    }
}

impl<'a> Object<'a, Wire> for WireNode<'a> {
    type Node = JsonNode<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = Named<'a>;

    fn len(&self) -> usize {
        WireNode::members(*self).count()
    }

    fn is_empty(&self) -> bool {
        WireNode::members(*self).next().is_none()
    }

    fn get(&self, key: &String) -> Option<JsonNode<'a>> {
        WireNode::get(*self, key).map(JsonNode::Wire)
    }

    fn members(&self) -> Named<'a> {
        Named(WireNode::members(*self))
    }
}

impl<'a> Array<'a, Wire> for WireNode<'a> {
    type Node = JsonNode<'a>;
    type ElementsIter = Values<'a>;

    fn len(&self) -> usize {
        WireNode::elements(*self).count()
    }

    fn elements(&self) -> Values<'a> {
        Values(WireNode::elements(*self))
    }
}

/// The members of an object with their names decoded.
#[derive(Debug)]
pub(super) struct Named<'a>(Members<'a>);

impl<'a> Iterator for Named<'a> {
    type Item = (Cow<'a, str>, JsonNode<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.0.next()?;
        Some((key.as_str().unwrap_or_default(), JsonNode::Wire(value)))
    }
}

/// The elements of an array.
#[derive(Debug)]
pub(super) struct Values<'a>(Elements<'a>);

impl<'a> Iterator for Values<'a> {
    type Item = JsonNode<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(JsonNode::Wire)
    }
}

/// A number kept as text.
#[derive(Debug)]
pub(super) struct WireNumber<'a>(Number<'a>);

impl JsonNumber for WireNumber<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.as_u64()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.as_i64()
    }

    fn as_f64(&self) -> Option<f64> {
        Some(self.0.as_f64())
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0.as_text())
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        let number = serde_json::from_str(self.0.as_text()).ok();
        Cow::Owned(number.unwrap_or_else(|| serde_json::Number::from(0)))
    }

    fn is_integer(&self) -> bool {
        self.0.is_integer_text() || self.0.as_f64().fract() == 0.0
    }
}
