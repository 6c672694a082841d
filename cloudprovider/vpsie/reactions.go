// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

// The reasons that this provider gives: a closed set, for conditions and metrics.
const (
	ReasonAmbiguousCluster      = "AmbiguousCluster"
	ReasonAmbiguousDatacenter   = "AmbiguousDatacenter"
	ReasonBreakerOpen           = "BreakerOpen"
	ReasonCanceled              = "Canceled"
	ReasonClusterLocked         = "ClusterLocked"
	ReasonClusterNotFound       = "ClusterNotFound"
	ReasonCredentialsMissing    = "CredentialsMissing"
	ReasonCredentialsUnreadable = "CredentialsUnreadable"
	ReasonDatacenterNotFound    = "DatacenterNotFound"
	ReasonForbidden             = "Forbidden"
	ReasonInvalidCredentials    = "InvalidCredentials"
	ReasonInvalidRequest        = "InvalidRequest"
	ReasonMalformed             = "Malformed"
	ReasonNoNodeGroup           = "NoNodeGroup"
	ReasonNotFound              = "NotFound"
	ReasonOfferingNotFound      = "OfferingNotFound"
	ReasonOfferingRefused       = "OfferingRefused"
	ReasonOutOfStock            = "OutOfStock"
	ReasonPaymentRequired       = "PaymentRequired"
	ReasonQuotaExceeded         = "QuotaExceeded"
	ReasonRateLimited           = "RateLimited"
	ReasonRedirected            = "Redirected"
	ReasonReplyLost             = "ReplyLost"
	ReasonSameSize              = "SameSize"
	ReasonServerError           = "ServerError"
	ReasonUnauthorized          = "Unauthorized"
	ReasonUnreachable           = "Unreachable"
	ReasonUnrecognised          = "Unrecognised"
)

// rule says what to do about errors of one kind.
type rule struct {
	reaction cloudprovider.Reaction
	reason   string
	matches  func(error) bool
	advice   string // for the user; empty where there is nothing to do
}

// rules are asked in order; the first that matches decides. What may have bought something comes before all words: a status 5xx may
// carry the words of a refusal, from VPSie or from what stands before it, after the machine was bought. Words come before the rest of
// the status, since VPSie sends refusals with status 200 and with others. The advice names the Secret that holds the credentials.
func rules(secret string) []rule {
	adviseSecret := "check the token, or client id and secret, in the Secret " + secret
	adviseURL := "check the key url of the Secret " + secret
	adviseReach := fmt.Sprintf("check the key url of the Secret %s (left out: %s), and that the controller's pod can reach that host", secret, api.DefaultBaseURL)
	namespace, name, _ := strings.Cut(secret, "/")
	adviseCreate := fmt.Sprintf("create it: kubectl -n %s create secret generic %s --from-literal=token=<VPSie API token>", namespace, name)
	adviseReading := "check that the Kubernetes API server answers and that the controller may read this Secret"
	return []rule{
		{cloudprovider.GiveUp, ReasonInvalidRequest, is(api.ErrInvalidRequest), ""},
		{cloudprovider.LookFirst, ReasonReplyLost, api.IsAmbiguous, ""},
		{cloudprovider.TryLater, ReasonCanceled, canceled, ""},
		{cloudprovider.GiveUp, ReasonInvalidCredentials, is(api.ErrUnusableCredentials), adviseSecret},
		{cloudprovider.TryLater, ReasonCredentialsMissing, as[*secretMissingError], adviseCreate},
		{cloudprovider.TryLater, ReasonCredentialsUnreadable, as[*api.CredentialsError], adviseReading},
		{cloudprovider.TryLater, ReasonBreakerOpen, is(api.ErrBreakerOpen), adviseReach},
		{cloudprovider.TryLater, ReasonRateLimited, api.IsRateLimited, ""},
		{cloudprovider.GiveUp, ReasonUnauthorized, api.IsUnauthorized, adviseSecret},
		{cloudprovider.GiveUp, ReasonUnauthorized, exchangeRefused, adviseSecret},
		{cloudprovider.GiveUp, ReasonPaymentRequired, status(http.StatusPaymentRequired), "top up the VPSie account"},
		{cloudprovider.LookFirst, ReasonReplyLost, all(ofChange, says("timeout", "timed out")), ""},
		{cloudprovider.TryLater, ReasonRateLimited, says("too many requests", "rate limit"), ""},
		{
			cloudprovider.GiveUp, ReasonPaymentRequired,
			says("insufficient balance", "insufficient funds", "insufficient credit", "account is suspended", "account suspended"),
			"top up the VPSie account",
		},
		{
			cloudprovider.GiveUp, ReasonQuotaExceeded,
			says("worker nodes count exceeds the allowed limit", "quota exceeded", "plan does not allow", "maximum number of",
				"limit reached", "subscription does not allow"),
			"raise the limit at VPSie, or the plan",
		},
		{cloudprovider.TryLater, ReasonSameSize, isSameSize, ""},
		{
			cloudprovider.TryElsewhere, ReasonOutOfStock,
			says("out of stock", "no stock", "sold out", "not enough resources", "no capacity", "insufficient capacity", "not enough capacity"),
			"",
		},
		{cloudprovider.TryElsewhere, ReasonOfferingRefused, says("please select the right package", "size not found"), ""},
		{cloudprovider.TryLater, ReasonClusterLocked, says("is locked", "cluster locked"), ""},
		{cloudprovider.GiveUp, ReasonInvalidCredentials, says("you entered the wrong password"), adviseSecret},
		{cloudprovider.LookFirst, ReasonNotFound, all(of(api.DeleteWorker), api.IsNotFound), ""},
		{cloudprovider.GiveUp, ReasonClusterNotFound, is(api.ErrAbsent), "check the cluster ID"},
		{cloudprovider.GiveUp, ReasonClusterNotFound, says("cluster not found"), "check the cluster ID"},
		{cloudprovider.TryLater, ReasonNotFound, api.IsNotFound, adviseURL},
		{cloudprovider.GiveUp, ReasonForbidden, status(http.StatusForbidden), "give the token's account the right to do this"},
		{cloudprovider.GiveUp, ReasonRedirected, statusBetween(300, 399), adviseURL},
		{cloudprovider.TryLater, ReasonServerError, statusBetween(500, 599), ""},
		{cloudprovider.TryLater, ReasonServerError, status(http.StatusRequestTimeout), ""},
		{cloudprovider.TryLater, ReasonMalformed, as[*api.MalformedError], ""},
		{cloudprovider.TryLater, ReasonUnreachable, as[*api.TransportError], adviseReach},
		{cloudprovider.TryLater, ReasonUnrecognised, func(error) bool { return true }, ""},
	}
}

// react returns err with its reaction and its reason. An error that has them keeps them.
func react(err error, secret string) *cloudprovider.Error {
	if decided, ok := errors.AsType[*cloudprovider.Error](err); ok {
		return &cloudprovider.Error{Reaction: decided.Reaction, Reason: decided.Reason, Err: err}
	}
	for _, r := range rules(secret) {
		if r.matches(err) {
			if r.advice != "" {
				err = fmt.Errorf("%w; %s", err, r.advice)
			}
			return &cloudprovider.Error{Reaction: r.reaction, Reason: r.reason, Err: err}
		}
	}
	return &cloudprovider.Error{Reaction: cloudprovider.TryLater, Reason: ReasonUnrecognised, Err: err}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[T error](err error) bool {
	var e T
	return errors.As(err, &e)
}

// says matches words of VPSie's message, whatever the letter case.
func says(phrases ...string) func(error) bool {
	return func(err error) bool {
		var e *api.APIError
		if !errors.As(err, &e) {
			return false
		}
		message := strings.ToLower(e.Message)
		for _, phrase := range phrases {
			if strings.Contains(message, phrase) {
				return true
			}
		}
		return false
	}
}

func isSameSize(err error) bool { return says("has same selected size")(err) }

func status(code int) func(error) bool { return statusBetween(code, code) }

func statusBetween(low, high int) func(error) bool {
	return func(err error) bool {
		var e *api.APIError
		return errors.As(err, &e) && e.StatusCode >= low && e.StatusCode <= high
	}
}

// of matches answers of one endpoint.
func of(op api.Endpoint) func(error) bool {
	return func(err error) bool {
		var e *api.APIError
		return errors.As(err, &e) && e.Op == op
	}
}

func ofChange(err error) bool {
	return of(api.AddWorker)(err) || of(api.DeleteWorker)(err) || of(api.CreateNodeGroup)(err)
}

// exchangeRefused matches every refusal to give out a token: nobody knows VPSie's words for it.
func exchangeRefused(err error) bool {
	return of(api.Authenticate)(err) && statusBetween(200, 499)(err) && !status(http.StatusRequestTimeout)(err) && !statusBetween(300, 399)(err)
}

// canceled matches requests that their caller gave up before they could have any effect.
func canceled(err error) bool {
	return !as[*api.TransportError](err) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) ||
		errors.Is(err, context.Canceled)
}

func all(conditions ...func(error) bool) func(error) bool {
	return func(err error) bool {
		for _, holds := range conditions {
			if !holds(err) {
				return false
			}
		}
		return true
	}
}
