//! The providers of object stores.

/// A provider by the variables of the environment that hints name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provider {
    pub(super) credentials: &'static str,
    pub(super) endpoint: &'static str,
}

/// Amazon S3, and all that speaks its protocol.
pub(super) const S3: Provider = Provider {
    credentials: "`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`",
    endpoint: "`AWS_ENDPOINT` and `AWS_REGION`; an endpoint without TLS also needs `AWS_ALLOW_HTTP=true`",
};
/// Google Cloud Storage.
pub(super) const GOOGLE: Provider = Provider {
    credentials: "`GOOGLE_SERVICE_ACCOUNT` or `GOOGLE_APPLICATION_CREDENTIALS`",
    endpoint: "the bucket's name and `GOOGLE_SERVICE_ACCOUNT`",
};
/// Azure Blob Storage and Data Lake.
pub(super) const AZURE: Provider = Provider {
    credentials: "`AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY`",
    endpoint: "`AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ENDPOINT`",
};
