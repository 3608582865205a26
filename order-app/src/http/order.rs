//! `/order/{orderNo}`

use axum::{
    Json,
    extract::{Path, State as FromState, rejection::PathRejection},
};
use gray_common::api::ApiResult;
use serde::Serialize;

use crate::{app::State, domain, error::Error};

/// An order with its user, as the Java service shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderView {
    order_no: &'static str,
    goods_name: String,
    user_no: &'static str,
    port: String,
    meta_version: String,
    user_name: String,
}

/// The order, with port and version of this process and what user-app says of its user.
pub(crate) async fn show(
    FromState(state): FromState<State>,
    order_no: Result<Path<String>, PathRejection>,
) -> Result<Json<ApiResult<OrderView>>, Error> {
    let Path(order_no) = order_no.map_err(|_| Error::BadPath)?;
    let order = domain::find(&order_no).ok_or(Error::OrderNotFound)?;
    let user_name = state.users.user(order.user_no).await?;
    state.events.order_viewed(order.order_no);
    Ok(Json(ApiResult::success(OrderView {
        order_no: order.order_no,
        goods_name: format!("商品-{}", order.goods_no),
        user_no: order.user_no,
        port: state.port.to_string(),
        meta_version: state.version,
        user_name,
    })))
}
