//! How a user of our programs types what messages of the floors below name.

use crate::kernel::device::of_zone;
use crate::text::Setting;

/// What is typed for it.
pub(super) fn spelling(setting: Setting) -> String {
    match setting {
        Setting::ConnectTimeout => "--connect-timeout",
        Setting::ReceiveTimeout => "--receive-timeout",
        Setting::SendTimeout => "--send-timeout",
        Setting::ReplyTimeout => "--reply-timeout",
        Setting::ExpectedReply => "--expect echo, ack or prefix:TEXT",
        Setting::Turns => "--turns",
        Setting::CaptureBuffer => "--buffer",
        Setting::PortRange => "--range",
        Setting::Destinations => "--destinations",
        Setting::OwnNetwork => "fourtuple isolate -- …",
        Setting::Experiment => "make experiment-1",
        Setting::ExperimentHere => "NAMESPACE=host make experiment-1",
        Setting::Listener(address) => {
            let zone = of_zone(address).map(|zone| format!("%{zone}")).unwrap_or_default();
            return format!("`listener {} {}{zone}`", address.port(), address.ip());
        }
    }
    .to_owned()
}
