// expect: E0277
use stack::endpoint::*;

pub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {
    let _ = (call, mutex);
    let mut root = endpoint.enter().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| endpoint.hang_up(&mut root, call));
    });
}
