//! Enums for the string constants of an API, with a variant for values that are newer than this
//! program.

/// Declares an enum of known values and `Unknown(String)`, with conversions from and to text.
///
/// Unknown values are kept verbatim, so that reports stay true on endpoints that are newer than
/// this program. Code that matches on the enum has to decide every known value.
macro_rules! api_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant,)+
            /// A value that this program does not know, verbatim.
            Unknown(String),
        }

        impl $name {
            /// All known values.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the value as the API writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    _ => Self::Unknown(text.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                // AWS may return values that are newer than this list.
                schemars::json_schema!({ "type": "string", "examples": [$($text),+] })
            }
        }
    };
}

pub(crate) use api_enum;
