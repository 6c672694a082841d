// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Endpoint names what was asked of VPSie: a closed set, for errors and metrics.
type Endpoint string

// The endpoints.
const (
	Authenticate    Endpoint = "authenticate"
	ListDatacenters Endpoint = "listDatacenters"
	ListOffers      Endpoint = "listOffers"
	ListClusters    Endpoint = "listClusters"
	GetCluster      Endpoint = "getCluster"
	ListNodeGroups  Endpoint = "listNodeGroups"
	CreateNodeGroup Endpoint = "createNodeGroup"
	AddWorker       Endpoint = "addWorker"
	DeleteWorker    Endpoint = "deleteWorker"
)

// changes says whether the endpoint changes anything: such a request is sent once, and a lost reply is ambiguous.
func (e Endpoint) changes() bool {
	return e == CreateNodeGroup || e == AddWorker || e == DeleteWorker
}

// APIError is an answer that says no: an HTTP status that does, or error set in the envelope at any status.
//
//nolint:revive // api.Error would read as any error of this package; the first autoscaler's client had this name too
type APIError struct {
	Op         Endpoint
	StatusCode int
	Message    string // VPSie's; empty where the body was not VPSie's, as from a gateway
	RequestID  string
	RetryAfter time.Duration // 0 where VPSie did not say
}

func (e *APIError) Error() string {
	message := fmt.Sprintf("%s: VPSie answered %d %s", e.Op, e.StatusCode, http.StatusText(e.StatusCode))
	if e.Message != "" {
		message += fmt.Sprintf(": %q", e.Message)
	}
	return message + requestSuffix(e.RequestID)
}

// MalformedError is an answer that could not be understood.
type MalformedError struct {
	Op         Endpoint
	StatusCode int
	RequestID  string
	Problem    string
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("%s: VPSie's answer (status %d) was not understood: %s%s", e.Op, e.StatusCode, e.Problem, requestSuffix(e.RequestID))
}

func requestSuffix(id string) string {
	if id == "" {
		return ""
	}
	return fmt.Sprintf(" (request %q)", id)
}

// TransportError is a request without an answer.
type TransportError struct {
	Op   Endpoint
	Host string // that was asked, with its port where it has one
	Err  error
	// Unsent says that nothing of the request left this machine.
	Unsent bool
}

func (e *TransportError) Error() string {
	return fmt.Sprintf("%s: no answer from VPSie at %s: %v", e.Op, e.Host, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// AmbiguousError wraps the error of a change that may have happened nevertheless.
type AmbiguousError struct{ Err error }

func (e *AmbiguousError) Error() string { return "it may have happened nevertheless: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *AmbiguousError) Unwrap() error { return e.Err }

// CredentialsError says that there are no credentials to send.
type CredentialsError struct{ Err error }

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("reading VPSie's credentials: %v", e.Err)
}

// Unwrap returns the cause.
func (e *CredentialsError) Unwrap() error { return e.Err }

// Errors of requests that were not sent at all, and the answer that there is no such thing.
var (
	// ErrBreakerOpen: VPSie failed too often just now.
	ErrBreakerOpen = errors.New("not sent: VPSie failed too often in a row, waiting before the next try")
	// ErrThrottled: VPSie asked for a longer pause than a request may be held.
	ErrThrottled = errors.New("not sent: VPSie asked to wait")
	// ErrAbsent: VPSie answered without error that there is no such thing.
	ErrAbsent = errors.New("VPSie has no such thing")
	// ErrUnusableCredentials: there are credentials, but they cannot be sent.
	ErrUnusableCredentials = errors.New("they cannot be used")
	// ErrInvalidRequest: the request made no sense.
	ErrInvalidRequest = errors.New("not sent: the request is incomplete")
)

// IsNotFound says whether VPSie knows no such thing, or no such route.
func IsNotFound(err error) bool {
	var e *APIError
	return errors.Is(err, ErrAbsent) || errors.As(err, &e) &&
		(e.StatusCode == http.StatusNotFound || strings.HasSuffix(strings.ToLower(e.Message), "not found"))
}

// IsRateLimited says whether VPSie, or this client in its name, wants fewer requests.
func IsRateLimited(err error) bool {
	var e *APIError
	return errors.Is(err, ErrThrottled) || errors.As(err, &e) && e.StatusCode == http.StatusTooManyRequests
}

// IsUnauthorized says whether VPSie refused the credentials.
func IsUnauthorized(err error) bool {
	var e *APIError
	return errors.As(err, &e) && e.unauthorized()
}

// unauthorized leaves out status 5xx, whatever the words: such a request is sent once more, and a change that got as far as to fail may
// have happened.
func (e *APIError) unauthorized() bool {
	return e.StatusCode == http.StatusUnauthorized || e.Message == "Please authenticate" && e.StatusCode < http.StatusInternalServerError
}

// IsAmbiguous says whether a change may have happened although there is an error.
func IsAmbiguous(err error) bool {
	var e *AmbiguousError
	return errors.As(err, &e)
}

// leavesDoubt says whether a change that ended in err may have happened: its reply was lost or came from a gateway.
// Every status 4xx but 408 is a refusal.
func leavesDoubt(err error) bool {
	var transport *TransportError
	var malformed *MalformedError
	var answer *APIError
	switch {
	case errors.As(err, &transport):
		return !transport.Unsent
	case errors.As(err, &malformed):
		return true
	case errors.As(err, &answer):
		return answer.StatusCode >= 500 || answer.StatusCode == http.StatusRequestTimeout
	}
	return false
}

// isTransient says whether the same read may work soon.
func isTransient(err error) bool {
	return leavesDoubt(err) || IsRateLimited(err) && !errors.Is(err, ErrThrottled) || isUnsent(err)
}

func isUnsent(err error) bool {
	var transport *TransportError
	return errors.As(err, &transport) && transport.Unsent
}

// failedBeforeSending recognises errors after which no byte of the request can have reached a server.
func failedBeforeSending(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}
