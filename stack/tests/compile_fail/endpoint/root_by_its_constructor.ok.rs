use stack::endpoint::*;

pub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {
    let _ = (call, mutex);
    let _root = endpoint.enter().unwrap();
}
