use stack::endpoint::*;

pub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {
    let _ = (call, mutex);
    let mut root = endpoint.enter().unwrap();
    let _ = endpoint.calls(&mut root);
}
