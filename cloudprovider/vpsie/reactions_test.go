// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

func says200(op api.Endpoint, message string) error {
	return &api.APIError{Op: op, StatusCode: http.StatusOK, Message: message}
}

func answered(op api.Endpoint, status int) error { return &api.APIError{Op: op, StatusCode: status} }

func ambiguous(err error) error { return &api.AmbiguousError{Err: err} }

// refused5xx is what the client makes of an order that got the words of a refusal and a status that refuses nothing.
func refused5xx(message string) error {
	return ambiguous(&api.APIError{Op: api.AddWorker, StatusCode: http.StatusInternalServerError, Message: message})
}

func TestReactions(t *testing.T) {
	unreachable := &api.TransportError{Op: api.AddWorker, Err: io.EOF}
	used := map[int]bool{}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a request that makes no sense":            {fmt.Errorf("addWorker: %w: cluster", api.ErrInvalidRequest), "GiveUp InvalidRequest"},
		"credentials that cannot be sent":          {&api.CredentialsError{Err: fmt.Errorf("%w: no token", api.ErrUnusableCredentials)}, "GiveUp InvalidCredentials"},
		"a Secret that could not be read":          {&api.CredentialsError{Err: io.EOF}, "TryLater CredentialsUnreadable"},
		"a Secret that is not there":               {&api.CredentialsError{Err: &secretMissingError{SecretName}}, "TryLater CredentialsMissing"},
		"a Secret whose reader left":               {&api.CredentialsError{Err: context.Canceled}, "TryLater Canceled"},
		"a Secret that is wrong":                   {&api.CredentialsError{Err: wrongSecret()}, "GiveUp InvalidCredentials"},
		"an open breaker":                          {fmt.Errorf("addWorker: %w", api.ErrBreakerOpen), "TryLater BreakerOpen"},
		"a pause that VPSie asked for":             {fmt.Errorf("addWorker: %w", api.ErrThrottled), "TryLater RateLimited"},
		"status 429":                               {answered(api.AddWorker, 429), "TryLater RateLimited"},
		"a rate limit in words":                    {says200(api.AddWorker, "Rate limit reached"), "TryLater RateLimited"},
		"Please authenticate":                      {says200(api.AddWorker, "Please authenticate"), "GiveUp Unauthorized"},
		"status 401":                               {answered(api.ListOffers, 401), "GiveUp Unauthorized"},
		"a refused exchange":                       {says200(api.Authenticate, "wrong secret"), "GiveUp Unauthorized"},
		"a refused exchange with status 400":       {answered(api.Authenticate, 400), "GiveUp Unauthorized"},
		"an exchange that failed":                  {answered(api.Authenticate, 502), "TryLater ServerError"},
		"status 402":                               {answered(api.AddWorker, 402), "GiveUp PaymentRequired"},
		"no money in words":                        {says200(api.AddWorker, "Insufficient balance"), "GiveUp PaymentRequired"},
		"the worker limit":                         {says200(api.AddWorker, "Worker nodes count exceeds the allowed limit"), "GiveUp QuotaExceeded"},
		"quota exceeded":                           {says200(api.AddWorker, "Quota exceeded for project"), "GiveUp QuotaExceeded"},
		"plan does not allow":                      {says200(api.AddWorker, "your plan does not allow this"), "GiveUp QuotaExceeded"},
		"maximum number of":                        {says200(api.AddWorker, "Maximum number of nodes"), "GiveUp QuotaExceeded"},
		"limit reached":                            {says200(api.AddWorker, "node limit reached"), "GiveUp QuotaExceeded"},
		"subscription does not allow":              {says200(api.AddWorker, "Subscription does not allow more"), "GiveUp QuotaExceeded"},
		"the worker limit with status 500":         {refused5xx("Worker nodes count exceeds the allowed limit"), "LookFirst ReplyLost"},
		"limit reached with status 500":            {refused5xx("node limit reached"), "LookFirst ReplyLost"},
		"maximum number of with status 500":        {refused5xx("Maximum number of connections"), "LookFirst ReplyLost"},
		"a rate limit in words with status 500":    {refused5xx("Rate limit reached"), "LookFirst ReplyLost"},
		"no stock with status 500":                 {refused5xx("not enough resources"), "LookFirst ReplyLost"},
		"no money in words with status 500":        {refused5xx("Insufficient balance"), "LookFirst ReplyLost"},
		"a locked cluster with status 500":         {refused5xx("Cluster is locked"), "LookFirst ReplyLost"},
		"Please authenticate with status 500":      {refused5xx("Please authenticate"), "LookFirst ReplyLost"},
		"a rate limit that timed out":              {says200(api.AddWorker, "Rate limit backend timed out"), "LookFirst ReplyLost"},
		"a session that timed out":                 {&api.APIError{Op: api.AddWorker, StatusCode: 401, Message: "Session timed out"}, "GiveUp Unauthorized"},
		"a second group of a size":                 {says200(api.CreateNodeGroup, "Group GRP-Advanced-c745 has same selected Size, please select another size"), "TryLater SameSize"},
		"no stock":                                 {says200(api.AddWorker, "Selected size is out of stock in this datacenter"), "TryElsewhere OutOfStock"},
		"a package that does not fit":              {says200(api.AddWorker, "Please select the right package for this OS"), "TryElsewhere OfferingRefused"},
		"a locked cluster":                         {says200(api.AddWorker, "Cluster is locked"), "TryLater ClusterLocked"},
		"a wrong account password":                 {says200(api.DeleteWorker, "You entered the wrong password"), "GiveUp InvalidCredentials"},
		"an order that VPSie says timed out":       {says200(api.AddWorker, "Gateway timed out"), "LookFirst ReplyLost"},
		"a read that VPSie says timed out":         {says200(api.ListOffers, "Gateway timed out"), "TryLater Unrecognised"},
		"an order whose reply was lost":            {ambiguous(unreachable), "LookFirst ReplyLost"},
		"an order with status 502":                 {ambiguous(answered(api.AddWorker, 502)), "LookFirst ReplyLost"},
		"an order that was not understood":         {ambiguous(&api.MalformedError{Op: api.AddWorker}), "LookFirst ReplyLost"},
		"an order whose caller left after sending": {ambiguous(&api.TransportError{Op: api.AddWorker, Err: context.Canceled}), "LookFirst ReplyLost"},
		"a caller that left while waiting":         {fmt.Errorf("waiting: %w", context.DeadlineExceeded), "TryLater Canceled"},
		"a read whose caller left":                 {&api.TransportError{Op: api.GetCluster, Err: context.Canceled}, "TryLater Canceled"},
		"a read that took too long":                {&api.TransportError{Op: api.GetCluster, Err: context.DeadlineExceeded}, "TryLater Unreachable"},
		"the deletion of what is not there":        {says200(api.DeleteWorker, "Node not found"), "LookFirst NotFound"},
		"the deletion of what is not there, 404":   {answered(api.DeleteWorker, 404), "LookFirst NotFound"},
		"a cluster that is not there":              {fmt.Errorf("getCluster: %w", api.ErrAbsent), "GiveUp ClusterNotFound"},
		"a cluster that is not there, in words":    {says200(api.GetCluster, "Cluster not found"), "GiveUp ClusterNotFound"},
		"a route that is not there":                {&api.APIError{Op: api.ListOffers, StatusCode: 404, Message: "Not found"}, "TryLater NotFound"},
		"status 403":                               {answered(api.AddWorker, 403), "GiveUp Forbidden"},
		"a redirection":                            {answered(api.ListOffers, 302), "GiveUp Redirected"},
		"a read with status 503":                   {answered(api.ListOffers, 503), "TryLater ServerError"},
		"a read with status 408":                   {answered(api.ListOffers, 408), "TryLater ServerError"},
		"a read that was not understood":           {&api.MalformedError{Op: api.GetCluster}, "TryLater Malformed"},
		"a host that is not there":                 {&api.TransportError{Op: api.AddWorker, Err: io.EOF, Unsent: true}, "TryLater Unreachable"},
		"a message that nobody has seen":           {says200(api.AddWorker, "Mercury is in retrograde"), "TryLater Unrecognised"},
		"a status that nobody has seen":            {answered(api.AddWorker, 418), "TryLater Unrecognised"},
		"an error of somebody else":                {io.ErrUnexpectedEOF, "TryLater Unrecognised"},
		"an error that has its reaction":           {fmt.Errorf("x: %w", cloudprovider.Errorf(cloudprovider.LookFirst, ReasonNotFound, "y")), "LookFirst NotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verdict(react(test.err, SecretName)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
		var decided *cloudprovider.Error
		for i, r := range rules(SecretName) {
			if !errors.As(test.err, &decided) && r.matches(test.err) {
				used[i] = true
				break
			}
		}
	}
	for i, r := range rules(SecretName) {
		if !used[i] {
			t.Errorf("rule %d (%s %s) has no row", i, r.reaction, r.reason)
		}
	}
}

func wrongSecret() error {
	_, err := CredentialsFrom(SecretName, nil)
	return err
}

func TestErrorsSayWhatWhereAndHow(t *testing.T) {
	w := newWorld(t, map[string][]string{addSlave: {pleaseLogIn}})
	want := `ordering a machine of offering "3" for VPSieNode "vn": addWorker: VPSie answered 401 Unauthorized: "Please authenticate"; ` +
		`check the token, or client id and secret, in the Secret kube-system/vpsie-secret`
	if err := w.buy(t, "3"); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAdviceNamesTheSecretThatIsUsed(t *testing.T) {
	w := newWorld(t, map[string][]string{addSlave: {pleaseLogIn}}, func(o *Options) { o.Secret = "cloud/credentials" })
	if err := w.buy(t, "3"); err == nil || !strings.HasSuffix(err.Error(), "in the Secret cloud/credentials") {
		t.Errorf("got %v, want advice to check the Secret cloud/credentials", err)
	}
}

func TestUnknownMessagesAreCounted(t *testing.T) {
	w := newWorld(t, map[string][]string{addSlave: {`{"error":true,"message":"Mercury is in retrograde"}`}})
	counter := w.metrics.errors.WithLabelValues("TryLater", "Unrecognised")
	if got := testutil.ToFloat64(counter); got != 0 {
		t.Errorf("counted %v before", got)
	}
	for range 2 {
		_ = w.buy(t, "3")
	}
	if got := testutil.ToFloat64(counter); got != 2 {
		t.Errorf("counted %v, want 2", got)
	}
}

func TestReady(t *testing.T) {
	w := newWorld(t, nil)
	for range 3 {
		if err := w.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(w.requests(datacenters)); got != 2 { // one to find the place, one ping
		t.Errorf("asked %d times", got)
	}
	w.set(datacenters, pleaseLogIn)
	w.clock.Step(readyFor + time.Second)
	if got := verdict(w.Ready(t.Context())); got != "GiveUp Unauthorized" {
		t.Errorf("got %s", got)
	}
	w.set(datacenters, `{"error":false,"data":[]}`)
	if err := w.Ready(t.Context()); err != nil {
		t.Errorf("a bad answer was believed for longer than a moment: %v", err)
	}
	w.set(datacenters, pleaseLogIn)
	w.set(oneCluster, pleaseLogIn)
	_, _ = w.Inventory(t.Context())
	if got := verdict(w.Ready(t.Context())); got != "GiveUp Unauthorized" {
		t.Errorf("after a failure elsewhere: got %s", got)
	}
}
