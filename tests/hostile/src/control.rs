//! The control socket.

use crate::varlink::Message;
use tare_control::{Call, RawCall};

/// A message of a caller of the control socket. A call that can be answered is the same once it is written.
pub fn call(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<Message>(bytes) else {
        return;
    };
    if let Ok(Call::Control(method)) = Call::try_from(message.call) {
        let written = serde_json::to_vec(&method).expect("a method has a JSON form");
        let again: RawCall = serde_json::from_slice(&written).expect("it is a call");
        assert_eq!(Call::try_from(again), Ok(Call::Control(method)));
    }
}
