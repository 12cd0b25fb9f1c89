use stack::endpoint::*;

pub fn f(endpoint: &Endpoint, call: CallHandle, mutex: &ApplicationMutex<u8>) {
    let _ = (call, mutex);
    let short = Endpoint::new(EndpointConfig::default(), Nobody);
    let root = {
        short.enter().unwrap()
    };
    drop(root);
}

struct Nobody;

impl Application for Nobody {
    fn on_call(&self, _: CallEvent, _: &mut Callback<'_>) {}
    fn send(&self, _: &DialogId, _: &[u8], _: &mut Callback<'_>) {}
}
