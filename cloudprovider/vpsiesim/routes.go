// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// Counted beside the calls that exist.
const (
	callUnknown         fault.Call = "unknown"
	callUnauthenticated fault.Call = "unauthenticated"
)

const bodyLimit = 1 << 20

// request is a call with its body read and its moment fixed. Handlers run with the server locked and
// every machine brought up to that moment.
type request struct {
	http *http.Request
	body []byte
	now  time.Time
}

// field looks a JSON field up by its exact name: encoding/json ignores case, VPSie does not.
func (r *request) field(name string, into any) bool {
	var fields map[string]json.RawMessage
	if !strings.HasPrefix(r.http.Header.Get("Content-Type"), "application/json") || json.Unmarshal(r.body, &fields) != nil {
		return false
	}
	raw, ok := fields[name]
	return ok && string(raw) != "null" && json.Unmarshal(raw, into) == nil
}

func (r *request) text(name string) string {
	var value string
	if !r.field(name, &value) {
		return ""
	}
	return value
}

func (r *request) number(name string) (int, bool) {
	var value int
	ok := r.field(name, &value)
	return value, ok
}

type route struct {
	pattern string
	call    fault.Call
	handle  func(*request) reply
}

func (s *Server) routes() []route {
	routes := []route{
		{"POST /apps/v2/auth/from/api", fault.Authenticate, s.authenticate},
		{"GET /apps/v2/datacenter", fault.ListDatacenters, s.listDatacenters},
		{"GET /apps/v2/projects", fault.ListProjects, s.listProjects},
		{"POST /apps/v2/k8s/offers", fault.ListOffers, s.listOffers},
		{"GET /apps/v2/k8s/cluster/all", fault.ListClusters, s.listClusters},
		{"GET /apps/v2/k8s/cluster/byId/{cluster}", fault.GetCluster, s.getCluster},
		{"GET /apps/v2/k8s/node/groups/byClusterId/{cluster}", fault.ListNodeGroups, s.listNodeGroups},
		{"POST /apps/v2/k8s/cluster/add/group", fault.AddNodeGroup, s.addNodeGroup},
		{"DELETE /apps/v2/k8s/cluster/delete/group/{group}", fault.DeleteNodeGroup, s.deleteNodeGroup},
		{"POST /apps/v2/k8s/cluster/byId/{cluster}/add/slave/group/{group}", fault.AddSlaveToGroup, s.addSlave},
		{"POST /apps/v2/k8s/cluster/byId/{cluster}/add/slave", fault.AddSlave, s.addSlave},
		{"DELETE /apps/v2/k8s/cluster/byId/{cluster}/delete/slave", fault.DeleteSlave, s.deleteSlave},
		{"DELETE /apps/v2/k8s/cluster/byId/{cluster}/reduce/slave", fault.ReduceSlave, s.reduceSlave},
	}
	// Sources disagree on the prefix of these two.
	for _, prefix := range []string{"/api/v2", "/apps/v2"} {
		routes = append(routes,
			route{"GET " + prefix + "/plans/category", fault.ListPlanCategories, s.listPlanCategories},
			route{"POST " + prefix + "/resources", fault.ListPlans, s.listPlans})
	}
	return routes
}

// Handler is the VPSie API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, route) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		s.calls[callUnknown]++
		s.mu.Unlock()
		failed(http.StatusNotFound, messageNotFound).write(w)
	})
	return mux
}

// serve checks the credentials, lets a fault answer or delay, then does what was asked. Faults count
// only calls with good credentials.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, route route) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		failed(http.StatusBadRequest, messageBadBody).write(w)
		return
	}
	s.mu.Lock()
	s.calls[route.call]++
	if route.call != fault.Authenticate && !s.auth.admits(r.Header, s.clock.Now()) {
		s.calls[callUnauthenticated]++
		s.mu.Unlock()
		failed(http.StatusUnauthorized, messageUnauthenticated).write(w)
		return
	}
	if _, expired := s.strike(fault.Target{Call: route.call}, fault.ExpiredToken); expired {
		clear(s.auth.expires)
		s.calls[callUnauthenticated]++
		s.mu.Unlock()
		failed(http.StatusUnauthorized, messageUnauthenticated).write(w)
		return
	}
	latency, slow := s.strike(fault.Target{Call: route.call}, fault.Latency)
	s.mu.Unlock()
	if slow && !s.pause(whoStops(r.Context(), route.call), duration(latency.DelaySeconds)) {
		return
	}
	s.answer(&request{http: r, body: body}, route).write(w)
}

// answer holds the lock while the call has its effect.
func (s *Server) answer(r *request, route route) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.now = s.clock.Now()
	s.settle(r.now)
	target := fault.Target{Call: route.call}
	if route.call == fault.DeleteSlave {
		s.enterAttempt(r)
	}
	answer, struck := s.answerOfFault(target, r.now)
	if !struck {
		answer = route.handle(r)
	}
	if slices.Contains(fault.Orders(), route.call) && answer.refusal != "" {
		s.refuse(r, route.call, answer.refusal)
	}
	if answer.refusal == "" {
		if _, lost := s.strike(target, fault.LostReplyAfterEffect); lost {
			answer.lost = true
		}
	}
	return answer
}

// answerOfFault is the answer of a fault that keeps the call from having any effect.
func (s *Server) answerOfFault(target fault.Target, now time.Time) (reply, bool) {
	struck, ok := s.strike(target, fault.Status, fault.Error200, fault.RateLimited, fault.LostReplyBeforeEffect)
	if !ok {
		return reply{}, false
	}
	switch struck.Kind {
	case fault.Status:
		title := fmt.Sprintf("%d %s", struck.Status, http.StatusText(struck.Status))
		page := fmt.Sprintf("<html><head><title>%s</title></head><body><center><h1>%s</h1></center></body></html>\n", title, title)
		if struck.Body != "" {
			page = struck.Body
		}
		return reply{status: struck.Status, html: page, refusal: title}, true
	case fault.RateLimited:
		answer := failed(http.StatusTooManyRequests, messageTooManyRequests)
		answer.retryAfter = retryAfter(struck, now)
		return answer, true
	case fault.LostReplyBeforeEffect:
		return reply{lost: true, refusal: "the connection was closed before the effect"}, true
	default: // Error200 is all that strike was asked for beside these
		return refused(struck.Message), true
	}
}

// retryAfter is the header in one of its two forms, empty if there is none.
func retryAfter(f fault.Fault, now time.Time) string {
	switch {
	case f.RetryAfterSeconds == 0:
		return ""
	case f.RetryAfterDate:
		return now.Add(time.Duration(f.RetryAfterSeconds) * time.Second).UTC().Format(http.TimeFormat)
	}
	return strconv.Itoa(f.RetryAfterSeconds)
}

// strike takes a fault off the queue and says so in the log.
func (s *Server) strike(target fault.Target, kinds ...fault.Kind) (fault.Fault, bool) {
	struck, ok := s.faults.Take(target, kinds...)
	if ok {
		s.log.Info("Fault struck", "kind", struck.Kind, "call", target.Call, "fault", struck.ID)
	}
	return struck, ok
}

// whoStops is what ends the wait of a delayed call. A change that has been sent takes effect although its sender hung up or died:
// nobody tells VPSie, and whoever takes over must not count on less. A read for nobody is dropped.
func whoStops(caller context.Context, call fault.Call) context.Context {
	if slices.Contains(fault.Changes(), call) {
		return context.WithoutCancel(caller)
	}
	return caller
}

// pause waits on the simulated clock. It tells whether the call goes on.
func (s *Server) pause(ctx context.Context, delay time.Duration) bool {
	select {
	case <-s.clock.After(delay):
		return true
	case <-ctx.Done():
		return false
	}
}

// refuse enters a refused order, with as much as is known of it.
func (s *Server) refuse(r *request, call fault.Call, message string) {
	refusal := ledger.Refusal{At: r.now, Call: call, Message: message}
	if group, ok := s.orderedGroup(r); ok {
		refusal.GroupID, refusal.SizeID = group.id, group.size.ID
	}
	s.ledger.Refuse(refusal)
	s.log.V(1).Info("Order refused", "call", call, "groupID", refusal.GroupID, "sizeID", refusal.SizeID, "message", message)
}

// window reads offset and limit. What is not a number counts as left out, as VPSie seems to do.
func (r *request) window(total int) (from, to int) {
	query := r.http.URL.Query()
	from, to = 0, total
	if offset, err := strconv.Atoi(query.Get("offset")); err == nil {
		from = min(max(offset, 0), total)
	}
	if limit, err := strconv.Atoi(query.Get("limit")); err == nil && limit >= 0 {
		to = min(total-from, limit) + from
	}
	return from, to
}
