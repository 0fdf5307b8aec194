//! `listener` serves the same under every model: what is sent comes back, ends are answered, limits hold, signals end it.

/// Makes each claim a test under each of the models.
macro_rules! claims {
    ($name:ident under $($model:ident),+: $claims:tt) => {
        mod $name { $( claims!(@ $model $claims); )+ }
    };
    (@ $model:ident { $($claim:ident),+ $(,)? }) => {
        mod $model {
            use crate::models::model::Model;

            $(
                #[test]
                fn $claim() {
                    super::super::$claim(Model::$model());
                }
            )+
        }
    };
}

mod drain;
mod echo;
mod fork;
mod limits;
mod model;
mod output;
mod reply;
