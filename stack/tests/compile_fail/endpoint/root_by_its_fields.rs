// expect: E0451
use stack::endpoint::*;

pub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {
    let _ = (call, mutex);
    let _root: Permit<'static, level::Root> = Permit { borrowed: Default::default(), on_this_thread: Default::default() };
}
