//! An origin of somebody else's, made of the library, generates something other than retail's offers.

use headstart_tests::{
    client::settled_by,
    edge::Edge,
    edge_config::EdgeConfig,
    kv::Kv,
    origin::{Origin, OriginConfig},
};

#[tokio::test]
async fn what_an_origins_own_generator_makes_comes_out_of_a_login() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let config = OriginConfig::new("own").example("own_generator");
    let _origin = Origin::start(config.edge(&edge));
    let client = edge.client();
    let ticket = client.login("Ada & Co").await;
    let told = client.events(&ticket).await.only().await;
    assert_eq!(
        (told.name.as_str(), settled_by(&told.event)),
        ("offer", "own")
    );
    let offer = client.offer_within(&ticket, 50).await.expect_status(200);
    assert_eq!(offer.header("content-type"), "text/plain;charset=utf-8");
    assert_eq!(offer.body, b"Welcome back, Ada & Co.");
    assert_eq!(Kv::of(&edge).await_offer(&ticket).await, offer.body);
}
