// expect: E0521
use stack::endpoint::*;

pub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {
    let _ = (call, mutex);
    let mut root = endpoint.enter().unwrap();
    let mut kept = None;
    let _ = endpoint.with_call(&mut root, call, |dialog, _| kept = Some(dialog));
    drop(kept);
}
