// expect: E0277
use stack::endpoint::*;

pub struct Calls {
    endpoint: std::sync::Arc<Endpoint>,
    mutex: ApplicationMutex<u8>,
}

impl Application for Calls {
    fn on_call(&self, event: CallEvent, callback: &mut Callback<'_>) {
        let _ = (&self.endpoint, &self.mutex, event.call);
        let _ = self.endpoint.calls(callback.permit());
    }

    fn send(&self, _: &DialogId, _: &[u8], _: &mut Callback<'_>) {}
}
