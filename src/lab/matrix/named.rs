//! A set of things that are written and read by their names.

/// Defines an enum of which every value has a name: `ALL`, `Display`, `FromStr` in either case, and serde.
macro_rules! named {
    ($(#[$about:meta])* $kind:ident, $noun:literal { $($(#[$says:meta])* $value:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $kind { $($(#[$says])* #[serde(rename = $name)] $value),+ }

        impl $kind {
            /// Every value, in the order of a table.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$value),+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $name),+ }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.into_iter().find(|value| value.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
                    format!("`{text}` is not {}; one of {}", $noun, [$($name),+].join(", "))
                })
            }
        }
    };
}

pub(super) use named;
