"""What a call says about its provider: success, failure, throttle, fatal or neutral. Pure.

Part C.3 of the specification, by tables and from fields that are stored, so that it can be derived again at any time.
The order is: what the provider called the error, its HTTP status, the exception.
"""

from typing import Final, Literal, NamedTuple

from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import RequestStatus

Outcome = Literal["success", "failure", "throttle", "fatal", "neutral"]

# an exhausted quota does not come back by itself in seconds
QUOTA_RETRY_AFTER_SECONDS: Final = 900.0


class Verdict(NamedTuple):
    """The outcome of a call, and how long its provider is to be left alone where that is known."""

    outcome: Outcome
    retry_after_seconds: float | None = None


SUCCESS: Final = Verdict("success")
_FAILURE: Final = Verdict("failure")
_THROTTLE: Final = Verdict("throttle")
_QUOTA: Final = Verdict("throttle", QUOTA_RETRY_AFTER_SECONDS)
_FATAL: Final = Verdict("fatal")
_NEUTRAL: Final = Verdict("neutral")

# what providers call their errors, in lower case; generic names such as invalid_request_error come with every status
_BY_PROVIDER_TYPE: Final = {
    verdict: names.split()
    for verdict, names in (
        (
            _QUOTA,
            (
                "insufficient_quota quota_exceeded billing_error billing_not_active billing_hard_limit_reached "
                "credit_balance_too_low insufficient_balance insufficient_credits payment_required "
                "spend_limit_exceeded spending_limit_exceeded servicequotaexceededexception"
            ),
        ),
        (
            _THROTTLE,
            (
                "rate_limit_error rate_limit_exceeded ratelimiterror ratelimitexceeded resource_exhausted "
                "resourceexhausted too_many_requests toomanyrequests tokens requests throttlingexception throttling "
                "throttledexception toomanyrequestsexception requestlimitexceeded modelnotreadyexception"
            ),
        ),
        (
            _FAILURE,
            (
                "overloaded_error overloadederror engine_overloaded api_error server_error internal_error "
                "internal_server_error service_unavailable unavailable internal timeout_error deadline_exceeded "
                "internalserverexception internalfailure serviceunavailableexception serviceunavailable "
                "modelerrorexception modeltimeoutexception modelstreamerrorexception"
            ),
        ),
        (
            _FATAL,
            (
                "authentication_error authenticationerror permission_error permission_denied permissiondeniederror "
                "unauthenticated invalid_api_key incorrect_api_key expired_api_key revoked_api_key account_deactivated "
                "accessdeniedexception accessdenied unrecognizedclientexception expiredtokenexception expiredtoken "
                "invalidclienttokenid invalidsignatureexception signaturedoesnotmatch incompletesignature "
                "missingauthenticationtoken missingauthenticationtokenexception optinrequired notauthorized"
            ),
        ),
        (
            _NEUTRAL,
            (
                "context_length_exceeded contextwindowexceedederror string_above_max_length request_too_large "
                "content_filter content_policy_violation contentpolicyviolationerror responsibleaipolicyviolation "
                "safety model_not_found "
                # Bedrock's words for what was asked wrongly
                "validationexception resourcenotfoundexception conflictexception "
                # said by a worker: the key was its caller's, and the call was never sent
                "caller_credential noprovideravailable"
            ),
        ),
    )
}
_PROVIDER_TYPES: Final = {name: verdict for verdict, names in _BY_PROVIDER_TYPE.items() for name in names}

# how task queues and schedulers end what takes too long: the caller's own time was over, whoever was called
_CALLERS_LIMIT_NAMES: Final = (
    # Celery and billiard, RQ, dramatiq, huey, procrastinate
    "softtimelimitexceeded timelimitexceeded basetimeoutexception jobtimeoutexception "
    "horsemonitortimeoutexception cancelexecution jobaborted "
    # Airflow, Prefect, Dagster, func_timeout
    "airflowtasktimeout airflowtaskterminated taskruntimeouterror flowruntimeouterror cancelledrun "
    "terminationsignal dagsterexecutioninterruptederror functiontimedout"
)
_CALLERS_LIMITS: Final = frozenset(_CALLERS_LIMIT_NAMES.split())

_HTTP_STATUSES: Final = {
    **dict.fromkeys((500, 502, 503, 504, *range(520, 530)), _FAILURE),
    401: _FATAL,
    402: _QUOTA,
    403: _FATAL,
    429: _THROTTLE,
}
_OK_STATUSES: Final = range(200, 300)
# redirects and whatever else the request itself is to blame for
_REQUEST_STATUSES: Final = range(300, 500)

_CONNECT_TIMEOUTS: Final = frozenset({"connecttimeout", "connecttimeouterror", "connectiontimeouterror"})
# the request was wrong, or never left: the provider has not been seen
_LOCAL_NAMES: Final = (
    "badrequesterror invalid_request_error invalid_argument notfounderror not_found_error conflicterror "
    "unprocessableentityerror invalidrequesterror pooltimeout emptypoolerror invalidurl missingschema invalidschema "
    "unsupportedprotocol localprotocolerror invalidheader cancellederror typeerror valueerror keyerror indexerror "
    "attributeerror nameerror unboundlocalerror assertionerror notimplementederror zerodivisionerror recursionerror "
    "memoryerror lookuperror unicodeencodeerror importerror modulenotfounderror filenotfounderror permissionerror "
    "validationerror"
)
_LOCAL_ERRORS: Final = frozenset(_LOCAL_NAMES.split())


def classify_call(
    status: RequestStatus,
    error_type: str | None,
    http_status: int | None,
    retry_after_seconds: float | None,
    duration_seconds: float | None,
    *,
    settings: CircuitSettings,
) -> Verdict:
    """Classify how a call ended; a hint of the provider takes the place of our own.

    A target is a provider, so a model that it does not have is neutral. An error of which nothing is known is the
    provider's, or a worker that tells no more than `error` would never open a circuit.
    """
    if status == "success":
        return SUCCESS
    if status == "cancelled":
        return _NEUTRAL
    name = (error_type or "").rpartition(".")[2].lower()
    if name in _CALLERS_LIMITS:
        return _NEUTRAL
    verdict = _PROVIDER_TYPES.get(name) or _classify_status(status, http_status)
    if verdict is None:
        verdict = _classify_exception(status, name, http_status, duration_seconds, settings)
    if retry_after_seconds is not None and verdict.outcome in {"throttle", "failure"}:
        return Verdict(verdict.outcome, retry_after_seconds)
    return verdict


def is_callers_limit(name: str) -> bool:
    """Tell whether an exception of this class is the caller's own time limit, as of a task queue."""
    return name.lower() in _CALLERS_LIMITS


def is_known_error_type(name: str) -> bool:
    """Tell whether a provider's name for an error decides by itself how a call is classified."""
    return name.lower() in _PROVIDER_TYPES


def is_slow(
    duration_seconds: float | None, time_to_first_token_seconds: float | None, settings: CircuitSettings
) -> bool:
    """Tell whether a call took longer than slow_ms: to its first token where that is known, else to its end."""
    if settings.slow_ms is None:
        return False
    seconds = duration_seconds if time_to_first_token_seconds is None else time_to_first_token_seconds
    # as milliseconds, so that a bound like 4000.1 and a duration of 4.0001 are equal
    return seconds is not None and round(seconds * 1000, 6) > settings.slow_ms


def _classify_status(status: RequestStatus, http_status: int | None) -> Verdict | None:
    verdict = _HTTP_STATUSES.get(http_status or 0)
    if status == "rate_limited" and verdict is not _FAILURE:
        return verdict if verdict is _QUOTA else _THROTTLE
    if verdict is None and http_status in _REQUEST_STATUSES:
        return _NEUTRAL
    return verdict


def _classify_exception(
    status: RequestStatus,
    name: str,
    http_status: int | None,
    duration_seconds: float | None,
    settings: CircuitSettings,
) -> Verdict:
    if name in _CONNECT_TIMEOUTS:
        return _FAILURE
    # after a 2xx even a caller's exception is about an answer that was no use
    if name in _LOCAL_ERRORS and http_status not in _OK_STATUSES:
        return _NEUTRAL
    if status == "timeout" or "timeout" in name or name == "deadlineexceeded":
        had_its_time = duration_seconds is not None and duration_seconds >= settings.min_timeout_for_failure_s
        return _FAILURE if had_its_time else _NEUTRAL
    return _FAILURE
