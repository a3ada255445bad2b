//! Other people's clients of WebSockets.

use crate::following::{
    Library, gets_what_it_missed, is_told_of_a_gap, outlives_its_edge, receives_an_offer,
};

#[tokio::test]
async fn ws_outlives_its_edge() {
    outlives_its_edge(Library::WS).await;
}

#[tokio::test]
async fn ws_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::WS).await;
}

#[tokio::test]
async fn ws_is_told_of_a_gap() {
    is_told_of_a_gap(Library::WS).await;
}

#[tokio::test]
async fn ws_receives_an_offer_once() {
    receives_an_offer(Library::WS).await;
}

#[tokio::test]
async fn partysocket_outlives_its_edge() {
    outlives_its_edge(Library::PARTYSOCKET).await;
}

#[tokio::test]
async fn partysocket_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::PARTYSOCKET).await;
}

#[tokio::test]
async fn partysocket_is_told_of_a_gap() {
    is_told_of_a_gap(Library::PARTYSOCKET).await;
}

#[tokio::test]
async fn partysocket_receives_an_offer_once() {
    receives_an_offer(Library::PARTYSOCKET).await;
}

#[tokio::test]
async fn websockets_outlives_its_edge() {
    outlives_its_edge(Library::WEBSOCKETS).await;
}

#[tokio::test]
async fn websockets_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::WEBSOCKETS).await;
}

#[tokio::test]
async fn websockets_is_told_of_a_gap() {
    is_told_of_a_gap(Library::WEBSOCKETS).await;
}

#[tokio::test]
async fn websockets_receives_an_offer_once() {
    receives_an_offer(Library::WEBSOCKETS).await;
}

#[tokio::test]
async fn websocket_client_outlives_its_edge() {
    outlives_its_edge(Library::WEBSOCKET_CLIENT).await;
}

#[tokio::test]
async fn websocket_client_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::WEBSOCKET_CLIENT).await;
}

#[tokio::test]
async fn websocket_client_is_told_of_a_gap() {
    is_told_of_a_gap(Library::WEBSOCKET_CLIENT).await;
}

#[tokio::test]
async fn websocket_client_receives_an_offer_once() {
    receives_an_offer(Library::WEBSOCKET_CLIENT).await;
}
