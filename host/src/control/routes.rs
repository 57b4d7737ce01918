//! What the control API does with each request.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Bytes, HttpBody},
    extract::{
        DefaultBodyLimit, Path, Query, Request, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ferryway_core::{JobId, PartnerName};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    Operations,
    api::{
        BATCH_LIMIT, BODY_LIMIT, Command, Health, JobView, PAGE_DEFAULT, PAGE_LIMIT,
        PROBE_TIME_LIMIT, PartnerProbed, ProbeRequest, Probed, Reason, Refusal, Reloaded,
        SILENCE_LIMIT, Service, ServiceOrder, ServiceState, SubmitRequest, WAIT_JOBS_LIMIT,
        WAIT_TIME_LIMIT, WaitRequest,
    },
};
use crate::journal::record::{Entry, HistoryQuery, Job};

/// The time for one request and its answer, waiting apart.
const TIME_LIMIT: Duration = Duration::from_secs(30);

type Host = State<Arc<dyn Operations>>;
type Body = Result<Bytes, BytesRejection>;
type Id = Result<Path<String>, PathRejection>;
type Answer<T> = Result<Json<T>, Refused>;

/// The routes over what a host does.
pub(super) fn router(operations: Arc<dyn Operations>) -> Router {
    let prompt = Router::new()
        .route("/v1/jobs", get(jobs).post(submit))
        .route("/v1/jobs/{id}", get(job))
        .route("/v1/jobs/{id}/entries", get(entries))
        .route("/v1/jobs/{id}/command", post(command))
        .route("/v1/history", get(history))
        .route("/v1/health", get(health))
        .route("/v1/journal/probe", post(probe))
        .route("/v1/services/{service}", post(service))
        .route("/v1/reload", post(reload))
        .route_layer(middleware::from_fn(|request, next| bounded(TIME_LIMIT, request, next)));
    let patient = Router::new().route("/v1/wait", post(wait)).route_layer(middleware::from_fn(
        |request, next| bounded(WAIT_TIME_LIMIT + TIME_LIMIT, request, next),
    ));
    let probes = Router::new()
        .route("/v1/partners/{partner}/probe", post(probe_partner))
        .route_layer(middleware::from_fn(|request, next| {
            bounded(SILENCE_LIMIT + PROBE_TIME_LIMIT, request, next)
        }));
    prompt
        .merge(patient)
        .merge(probes)
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(announced))
        .with_state(operations)
}

async fn submit(State(host): Host, body: Body) -> Result<(StatusCode, Json<Vec<Job>>), Refused> {
    let requests: Vec<SubmitRequest> = decode(body)?;
    if requests.is_empty() || requests.len() > BATCH_LIMIT {
        return Err(invalid(format!(
            "{} jobs in one request; 1 to {BATCH_LIMIT} are allowed",
            requests.len()
        )));
    }
    let jobs = to_the_end(async move { host.submit(requests).await }).await?;
    Ok((StatusCode::CREATED, Json(jobs)))
}

async fn jobs(State(host): Host) -> Answer<Vec<JobView>> {
    Ok(Json(host.jobs().await?))
}

async fn job(State(host): Host, id: Id) -> Answer<JobView> {
    Ok(Json(host.job(&job_id(id)?).await?))
}

async fn entries(State(host): Host, id: Id) -> Answer<Vec<Entry>> {
    Ok(Json(host.entries(&job_id(id)?).await?))
}

async fn command(State(host): Host, id: Id, body: Body) -> Answer<Job> {
    let id = job_id(id)?;
    let command: Command = decode(body)?;
    let job = to_the_end(async move { host.command(&id, command).await }).await?;
    Ok(Json(job))
}

async fn wait(State(host): Host, body: Body) -> Answer<Vec<Job>> {
    let request: WaitRequest = decode(body)?;
    if request.jobs.is_empty() || request.jobs.len() > WAIT_JOBS_LIMIT {
        return Err(invalid(format!(
            "{} jobs to wait for; 1 to {WAIT_JOBS_LIMIT} are allowed",
            request.jobs.len()
        )));
    }
    let limit = Duration::from_millis(request.limit_ms).min(WAIT_TIME_LIMIT);
    Ok(Json(host.wait(request.jobs, limit).await?))
}

async fn history(
    State(host): Host,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Answer<Vec<Job>> {
    let Query(mut query) = query.map_err(|error| invalid(error.body_text()))?;
    query.limit = match query.limit {
        0 => PAGE_DEFAULT,
        limit => limit.min(PAGE_LIMIT),
    };
    Ok(Json(host.history(query).await?))
}

async fn health(State(host): Host) -> Json<Health> {
    Json(host.health().await)
}

async fn probe(State(host): Host) -> Answer<Probed> {
    Ok(Json(host.probe().await?))
}

async fn probe_partner(State(host): Host, name: Id, body: Body) -> Answer<PartnerProbed> {
    let Path(name) = name.map_err(|rejection| invalid(rejection.body_text()))?;
    let partner: PartnerName = name.parse().map_err(|error| invalid(format!("{error}")))?;
    let request: ProbeRequest = decode(body)?;
    if request.silent_s.is_some_and(|silent| silent > SILENCE_LIMIT.as_secs()) {
        let most = SILENCE_LIMIT.as_secs();
        return Err(invalid(format!("a session can be left silent for {most} s at most")));
    }
    let probed = to_the_end(async move { host.probe_partner(&partner, request).await }).await?;
    Ok(Json(probed))
}

async fn service(State(host): Host, name: Id, body: Body) -> Answer<ServiceState> {
    let Path(name) = name.map_err(|rejection| invalid(rejection.body_text()))?;
    let Some(service) = Service::from_word(&name) else {
        let names = Service::WORDS.join(" and ");
        let text = format!("there is no service `{}`, only {names}", name.escape_debug());
        return Err(Refusal::new(Reason::NotFound, text).into());
    };
    let order: ServiceOrder = decode(body)?;
    Ok(Json(to_the_end(async move { host.service(service, order).await }).await?))
}

async fn reload(State(host): Host) -> Answer<Reloaded> {
    let message = to_the_end(async move { host.reload().await }).await?;
    Ok(Json(Reloaded { message }))
}

async fn unknown_route(request: Request) -> Refused {
    let text = format!("the control API has no `{}`", request.uri().path());
    Refused(StatusCode::NOT_FOUND, Refusal::new(Reason::NotFound, text))
}

async fn unknown_method(request: Request) -> Refused {
    let text = format!("`{}` does not take {}", request.uri().path(), request.method());
    Refused(StatusCode::METHOD_NOT_ALLOWED, Refusal::new(Reason::Invalid, text))
}

/// A refusal with its HTTP status.
struct Refused(StatusCode, Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.reason {
            Reason::Invalid => StatusCode::BAD_REQUEST,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::Conflict => StatusCode::CONFLICT,
            Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

fn invalid(message: String) -> Refused {
    Refusal::new(Reason::Invalid, message).into()
}

fn decode<T: DeserializeOwned>(body: Body) -> Result<T, Refused> {
    let bytes = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_long(),
        status => Refused(status, Refusal::new(Reason::Invalid, rejection.body_text())),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("the request's body is not understood: {error}")))
}

fn job_id(id: Id) -> Result<JobId, Refused> {
    let Path(text) = id.map_err(|rejection| invalid(rejection.body_text()))?;
    text.parse().map_err(|error| invalid(format!("{error}")))
}

fn too_long() -> Refused {
    let text = format!("the request's body is longer than {BODY_LIMIT} bytes; split it");
    Refused(StatusCode::PAYLOAD_TOO_LARGE, Refusal::new(Reason::Invalid, text))
}

/// Refuses a body by its announced length: the client need not send it all to hear that.
async fn announced(request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > BODY_LIMIT as u64 {
        return too_long().into_response();
    }
    next.run(request).await
}

async fn bounded(limit: Duration, request: Request, next: Next) -> Response {
    match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = format!(
                "the host did not answer within {} s; what was asked for may still be done: look \
                 before asking again",
                limit.as_secs()
            );
            let refusal = Refusal::new(Reason::Unavailable, text);
            Refused(StatusCode::GATEWAY_TIMEOUT, refusal).into_response()
        }
    }
}

/// What changes a job runs to its end even when the client leaves in the middle.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refused> {
    match tokio::spawn(work).await {
        Ok(result) => result.map_err(Refused::from),
        Err(error) => {
            tracing::error!(%error, "a request to the control API failed inside the host");
            let text = "the host failed inside; its log says more. What was asked for may be done";
            let refusal = Refusal::new(Reason::Unavailable, text);
            Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, refusal))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use http_body_util::{BodyExt, Full};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn a_host_that_is_silent_is_answered_for() {
        let limit = Duration::from_millis(1);
        let app: Router = Router::new()
            .route("/", get(pending::<()>))
            .layer(middleware::from_fn(move |request, next| bounded(limit, request, next)));
        let request = hyper::Request::new(Full::new(Bytes::new()));
        let response = TowerToHyperService::new(app).call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let refusal: Refusal = serde_json::from_slice(&body).unwrap();
        assert_eq!(refusal.reason, Reason::Unavailable);
    }
}
