//! `/user/{userNo}`

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use gray_common::api::ApiResult;

use crate::{app::Identity, domain, error::Error};

/// The user, with port and version of this process. `mateVersion` is the Java system's spelling, and contract.
pub(crate) async fn show(
    State(Identity { port, version, java_answers }): State<Identity>,
    user_no: Result<Path<String>, PathRejection>,
) -> Result<Json<ApiResult<String>>, Error> {
    let Path(user_no) = user_no.map_err(|_| Error::BadPath)?;
    // Java adds the name that it did not find to the text.
    let name = domain::name(&user_no).or(java_answers.then_some("null")).ok_or(Error::UserNotFound)?;
    Ok(Json(ApiResult::success(format!("{name} - port={port} - mateVersion={version}"))))
}
