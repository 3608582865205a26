//! gRPC as a client and servers written with tonic see it: routes by service and method, instances by the lane, streams in both
//! directions, and what the gateway answers itself.

use std::{convert::Infallible, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use gray_common::ReleaseContext;
use gray_core::Instance;
use gray_tonic::{GrayInterceptor, GrayLayer};
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc,
    server::NamedService,
    service::interceptor::InterceptedService,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::{
    egress::egress,
    support::{Gateway, Setup, instance, soon, spawn},
};

type Codec = ProstCodec<String, String>;
type Boxed = std::pin::Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

/// Each method of one service in its own way, and all others.
const ROUTES: &str = "[
  { id: closed, uri: 'lb://gone', predicates: ['Path=/demo.Echo/Closed'], metadata: { protocol: h2 } },
  { id: limited, uri: 'lb://app', predicates: ['Path=/demo.Echo/Limited'], metadata: { protocol: h2 },
    filters: ['RequestRateLimiter=1, 60, 60, route'] },
  { id: echo, uri: 'lb://app', predicates: ['Path=/demo.Echo/**', Method=POST], metadata: { protocol: h2 } }]";

/// What a handler knows of its call.
fn here(name: &str) -> String {
    let context = ReleaseContext::current();
    let lane = context.lane().map_or("none", |lane| lane.lane()).to_owned();
    format!("{name} on {lane}")
}

/// Answers of an instance that says its name and the lane that it sees, at once and in streams.
#[derive(Clone)]
struct Echo {
    name: &'static str,
    /// Called by `/demo.Echo/Relay`.
    next: Option<Channel>,
}

impl Echo {
    async fn answer(self, request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
        let mut grpc = tonic::server::Grpc::new(Codec::default());
        let Self { name, next } = self;
        Ok(match request.uri().path() {
            "/demo.Echo/Say" => {
                let say = move |request: Request<String>| async move {
                    if request.get_ref() == "fail" {
                        return Err(Status::failed_precondition("100% wrong"));
                    }
                    Ok(Response::new(format!("{}: {}", here(name), request.into_inner())))
                };
                grpc.unary(service_fn(say), request).await
            }
            "/demo.Echo/Count" => {
                let count = move |request: Request<String>| async move {
                    let last = request
                        .into_inner()
                        .parse::<u32>()
                        .map_err(|error| Status::invalid_argument(error.to_string()))?;
                    // Polled when the handler has returned.
                    let answers = stream::iter(0..last).map(move |number| Ok(format!("{}: {number}", here(name))));
                    Ok::<_, Status>(Response::new(answers.boxed() as Boxed))
                };
                grpc.server_streaming(service_fn(count), request).await
            }
            "/demo.Echo/Chat" => {
                let chat = move |request: Request<tonic::Streaming<String>>| async move {
                    let answers =
                        request.into_inner().map(move |said| said.map(|said| format!("{}: {said}", here(name))));
                    Ok::<_, Status>(Response::new(answers.boxed() as Boxed))
                };
                grpc.streaming(service_fn(chat), request).await
            }
            "/demo.Echo/Relay" => {
                let relay = move |request: Request<String>| {
                    let next = next.clone();
                    async move {
                        let channel = next.ok_or_else(|| Status::internal("calls no one"))?;
                        let client = InterceptedService::new(channel, GrayInterceptor::new().caller("app", Some(name)));
                        let answer = say(client, request.into_inner()).await?;
                        Ok(Response::new(format!("{} > {answer}", here(name))))
                    }
                };
                grpc.unary(service_fn(relay), request).await
            }
            _ => Status::unimplemented("no such method").into_http(),
        })
    }
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "demo.Echo";
}

/// A server of the service as this version.
async fn serve(name: &'static str, next: Option<Channel>) -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let server = Server::builder().layer(GrayLayer::new()).add_service(Echo { name, next });
    spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    instance(address, name)
}

fn channel(address: impl std::fmt::Display) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    endpoint.timeout(Duration::from_secs(20)).connect_lazy()
}

/// The gateway in front of two versions, which call two versions of another service by an egress. Both have to live as long as the test.
async fn chain() -> (Gateway, Gateway) {
    let behind = vec![serve("V1", None).await, serve("V2", None).await];
    let egress = egress(&[("behind", behind)], &[]);
    let endpoint = Channel::from_shared(format!("http://{}", egress.address)).expect("an address");
    let next = endpoint.origin("http://behind".parse().expect("a URI")).timeout(Duration::from_secs(20)).connect_lazy();
    let instances = [serve("V1", Some(next.clone())).await, serve("V2", Some(next)).await];
    (Setup::with_routes(ROUTES, &instances).start(), egress)
}

/// A request of a client that the rules put on this lane.
fn on<T>(lane: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if lane == "gray" {
        request.metadata_mut().insert("gray", "gray-996".parse().expect("a value"));
        // Which it may not choose itself.
        let forged = "gray-lane=PROD%3B-%3Br%3Bforged%3B-%3B%2A%3D%2A";
        request.metadata_mut().insert("baggage", forged.parse().expect("a value"));
    }
    request
}

async fn unary<S>(service: S, path: &'static str, request: Request<String>) -> Result<String, Status>
where
    S: tonic::client::GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut grpc = Grpc::new(service);
    grpc.ready().await.map_err(|_| Status::internal("not ready"))?;
    let answer = grpc.unary(request, http::uri::PathAndQuery::from_static(path), Codec::default());
    Ok(soon(answer).await?.into_inner())
}

async fn say(service: InterceptedService<Channel, GrayInterceptor>, message: String) -> Result<String, Status> {
    unary(service, "/demo.Echo/Say", Request::new(message)).await
}

#[tokio::test]
async fn calls_go_by_service_and_method_to_the_instances_of_their_lane() {
    let (gateway, _egress) = chain().await;
    let channel = channel(gateway.address);
    for (lane, version, seen) in [("baseline", "V1", "baseline"), ("gray", "V2", "gray")] {
        for _ in 0..5 {
            let answer = unary(channel.clone(), "/demo.Echo/Say", on(lane, "hello".to_owned())).await;
            assert_eq!(answer.expect("answers"), format!("{version} on {seen}: hello"));
        }
        // What the called service calls is told the lane, by the interceptor.
        let answer = unary(channel.clone(), "/demo.Echo/Relay", on(lane, "hello".to_owned())).await;
        assert_eq!(answer.expect("answers"), format!("{version} on {seen} > {version} on {seen}: hello"));
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.expect("ready");
        let path = http::uri::PathAndQuery::from_static("/demo.Echo/Count");
        let answers = grpc.server_streaming(on(lane, "3".to_owned()), path, Codec::default()).await.expect("answers");
        let answers: Vec<_> = soon(answers.into_inner().map(|answer| answer.expect("well")).collect()).await;
        assert_eq!(answers, [0, 1, 2].map(|number| format!("{version} on {seen}: {number}")));
    }
}

#[tokio::test]
async fn both_sides_speak_at_once_and_trailers_end_it() {
    let (gateway, _egress) = chain().await;
    for (lane, version) in [("baseline", "V1"), ("gray", "V2")] {
        let mut grpc = Grpc::new(channel(gateway.address));
        grpc.ready().await.expect("ready");
        let (words, said) = tokio::sync::mpsc::unbounded_channel();
        let said = stream::unfold(said, |mut said| async { Some((said.recv().await?, said)) });
        let path = http::uri::PathAndQuery::from_static("/demo.Echo/Chat");
        words.send("first".to_owned()).expect("sent");
        let answers = soon(grpc.streaming(on(lane, said), path, Codec::default())).await.expect("answers");
        let mut answers = answers.into_inner();
        let mut next = "first";
        // Each is said only when the one before was answered.
        for word in ["second", "third", ""] {
            let answer: String = soon(answers.message()).await.expect("well").expect("an answer");
            assert_eq!(answer, format!("{version} on {lane}: {next}"));
            words.send(word.to_owned()).expect("sent");
            next = word;
        }
        drop(words);
        assert_eq!(soon(answers.message()).await.expect("well"), Some(format!("{version} on {lane}: ")));
        assert_eq!(soon(answers.message()).await.expect("well"), None);
        assert!(soon(answers.trailers()).await.expect("well").is_some());
    }
}

#[tokio::test]
async fn statuses_of_instances_pass_and_the_gateways_own_are_statuses() {
    let (gateway, _egress) = chain().await;
    let channel = channel(gateway.address);
    let status = async |path, message: &str| {
        let answer = unary(channel.clone(), path, on("baseline", message.to_owned())).await;
        let status = answer.expect_err(path);
        (status.code(), status.message().to_owned())
    };
    let is = |code, message: &str| (code, message.to_owned());
    assert_eq!(status("/demo.Echo/Say", "fail").await, is(Code::FailedPrecondition, "100% wrong"));
    assert_eq!(status("/demo.Echo/Other", "").await, is(Code::Unimplemented, "no such method"));
    assert_eq!(status("/demo.Other/Say", "").await, is(Code::Unimplemented, "no route matches this request"));
    assert_eq!(status("/demo.Echo/Closed", "").await, is(Code::Unavailable, "no instance of gone is available"));
    assert_eq!(status("/demo.Echo/Limited", "").await.0, Code::Unimplemented, "the first one reaches the instance");
    assert_eq!(status("/demo.Echo/Limited", "").await, is(Code::Unavailable, "too many requests"));
    let stats = gateway.stats.snapshot();
    assert_eq!(
        (stats.responses[3], stats.responses[4], stats.no_route, stats.no_instance),
        (2, 1, 1, 1),
        "counted as ever"
    );
}
