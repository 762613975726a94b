//! The last answer that a transfer had, by its type: the client's errors for listings and credentials have it in words only.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// The last exchange of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastAnswer {
    /// The HTTP status; none if the server did not answer.
    pub(super) status: Option<u16>,
    /// True if a cloud machine's own service was asked for credentials: without any in the environment, the client asks there.
    pub(super) wanted_credentials: bool,
}

tokio::task_local! {
    static LAST: Cell<LastAnswer>;
}

/// The hosts at which cloud machines hand out credentials.
const CREDENTIAL_HOSTS: [&str; 3] = ["169.254.169.254", "metadata", "metadata.google.internal"];

/// Runs a transfer; its last exchange comes with its result.
pub(super) async fn noted<T>(transfer: impl Future<Output = T>) -> (T, LastAnswer) {
    let noted = async { (transfer.await, LAST.with(Cell::get)) };
    LAST.scope(Cell::default(), noted).await
}

/// Connects like the client's own connector, and notes every answer.
#[derive(Debug, Default)]
pub(super) struct Noting(ReqwestConnector);

#[derive(Debug)]
struct NotingClient(HttpClient);

impl HttpConnector for Noting {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(NotingClient(self.0.connect(options)?)))
    }
}

impl HttpService for NotingClient {
    // The trait comes from a macro: this is how it writes `async fn call`.
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let wanted_credentials = request
                .uri()
                .host()
                .is_some_and(|host| CREDENTIAL_HOSTS.contains(&host));
            let answer = self.0.execute(request).await;
            let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            // Parts of uploads are sent by tasks of their own, whose errors say enough.
            let _ = LAST.try_with(|last| {
                last.set(LastAnswer {
                    status,
                    wanted_credentials,
                })
            });
            answer
        })
    }
}
