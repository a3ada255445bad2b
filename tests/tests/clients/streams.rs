//! Other people's clients of Server-Sent Events.

use crate::following::{
    Library, gets_what_it_missed, is_told_of_a_gap, outlives_its_edge, receives_an_offer,
};

#[tokio::test]
async fn eventsource_outlives_its_edge() {
    outlives_its_edge(Library::EVENTSOURCE).await;
}

#[tokio::test]
async fn eventsource_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::EVENTSOURCE).await;
}

#[tokio::test]
async fn eventsource_is_told_of_a_gap() {
    is_told_of_a_gap(Library::EVENTSOURCE).await;
}

#[tokio::test]
async fn eventsource_receives_an_offer_once() {
    receives_an_offer(Library::EVENTSOURCE).await;
}

#[tokio::test]
async fn eventsource_client_outlives_its_edge() {
    outlives_its_edge(Library::EVENTSOURCE_CLIENT).await;
}

#[tokio::test]
async fn eventsource_client_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::EVENTSOURCE_CLIENT).await;
}

#[tokio::test]
async fn eventsource_client_is_told_of_a_gap() {
    is_told_of_a_gap(Library::EVENTSOURCE_CLIENT).await;
}

#[tokio::test]
async fn eventsource_client_receives_an_offer_once() {
    receives_an_offer(Library::EVENTSOURCE_CLIENT).await;
}

#[tokio::test]
async fn event_source_polyfill_outlives_its_edge() {
    outlives_its_edge(Library::POLYFILL).await;
}

#[tokio::test]
async fn event_source_polyfill_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::POLYFILL).await;
}

#[tokio::test]
async fn event_source_polyfill_is_told_of_a_gap() {
    is_told_of_a_gap(Library::POLYFILL).await;
}

#[tokio::test]
async fn event_source_polyfill_receives_an_offer_once() {
    receives_an_offer(Library::POLYFILL).await;
}

#[tokio::test]
async fn reconnecting_eventsource_outlives_its_edge() {
    outlives_its_edge(Library::RECONNECTING).await;
}

#[tokio::test]
async fn reconnecting_eventsource_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::RECONNECTING).await;
}

#[tokio::test]
async fn reconnecting_eventsource_is_told_of_a_gap() {
    is_told_of_a_gap(Library::RECONNECTING).await;
}

#[tokio::test]
async fn reconnecting_eventsource_receives_an_offer_once() {
    receives_an_offer(Library::RECONNECTING).await;
}

#[tokio::test]
async fn sseclient_py_outlives_its_edge() {
    outlives_its_edge(Library::SSECLIENT).await;
}

#[tokio::test]
async fn sseclient_py_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::SSECLIENT).await;
}

#[tokio::test]
async fn sseclient_py_is_told_of_a_gap() {
    is_told_of_a_gap(Library::SSECLIENT).await;
}

#[tokio::test]
async fn sseclient_py_receives_an_offer_once() {
    receives_an_offer(Library::SSECLIENT).await;
}

#[tokio::test]
async fn httpx_sse_outlives_its_edge() {
    outlives_its_edge(Library::HTTPX_SSE).await;
}

#[tokio::test]
async fn httpx_sse_gets_what_it_missed_behind_a_proxy_that_fails() {
    gets_what_it_missed(Library::HTTPX_SSE).await;
}

#[tokio::test]
async fn httpx_sse_is_told_of_a_gap() {
    is_told_of_a_gap(Library::HTTPX_SSE).await;
}

#[tokio::test]
async fn httpx_sse_receives_an_offer_once() {
    receives_an_offer(Library::HTTPX_SSE).await;
}
