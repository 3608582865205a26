//! The orders of the demo.

/// An order as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) order_no: &'static str,
    pub(crate) goods_no: &'static str,
    pub(crate) user_no: &'static str,
}

const ORDERS: [Order; 2] = [
    Order { order_no: "N0001", goods_no: "G0001", user_no: "U0001" },
    Order { order_no: "N0002", goods_no: "G0002", user_no: "U0002" },
];

/// The order of this number, if there is one.
pub(crate) fn find(order_no: &str) -> Option<&'static Order> {
    ORDERS.iter().find(|order| order.order_no == order_no)
}
