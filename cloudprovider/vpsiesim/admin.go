// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// AdminPrefix is where the admin API is, so that it can be served beside the VPSie API.
const AdminPrefix = "/sim/v1"

// Health is the answer of a server that works, with what it simulates.
type Health struct {
	Status            string `json:"status"`
	ClusterIdentifier string `json:"clusterIdentifier"`
	ClusterName       string `json:"clusterName"`
	DatacenterCode    string `json:"datacenterCode"`
}

// Refused is the body of every admin call that failed.
type Refused struct {
	Error string `json:"error"`
}

// AdminHandler is the admin API: it shows the ledger and the calls, scripts faults and changes
// settings. It asks for no credentials and must only be served on loopback.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		handle  func(r *http.Request, body []byte, now time.Time) (status int, answer any)
	}{
		{"GET " + AdminPrefix + "/healthz", s.adminHealth},
		{"GET " + AdminPrefix + "/ledger", func(_ *http.Request, _ []byte, now time.Time) (int, any) {
			return http.StatusOK, s.ledger.Report(now)
		}},
		{"GET " + AdminPrefix + "/orders", func(_ *http.Request, _ []byte, now time.Time) (int, any) {
			return http.StatusOK, s.ledger.Orders(now)
		}},
		{"GET " + AdminPrefix + "/spend", func(_ *http.Request, _ []byte, now time.Time) (int, any) {
			return http.StatusOK, s.ledger.Spend(now)
		}},
		{"GET " + AdminPrefix + "/calls", func(*http.Request, []byte, time.Time) (int, any) {
			return http.StatusOK, maps.Clone(s.calls)
		}},
		{"GET " + AdminPrefix + "/faults", s.adminFaults},
		{"POST " + AdminPrefix + "/faults", s.adminAddFaults},
		{"DELETE " + AdminPrefix + "/faults", s.adminRemoveFaults},
		{"POST " + AdminPrefix + "/mix", s.adminMix},
		{"POST " + AdminPrefix + "/workers", s.adminAddForeign},
		{"DELETE " + AdminPrefix + "/workers", s.adminDestroy},
		{"GET " + AdminPrefix + "/options", func(*http.Request, []byte, time.Time) (int, any) {
			return http.StatusOK, s.settings.report()
		}},
		{"POST " + AdminPrefix + "/options", s.adminSetOptions},
	} {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
			if err != nil {
				writeJSON(w, http.StatusBadRequest, Refused{fmt.Sprintf("reading the body: %v", err)})
				return
			}
			s.mu.Lock()
			now := s.clock.Now()
			s.settle(now)
			status, answer := route.handle(r, body, now)
			s.mu.Unlock()
			writeJSON(w, status, answer)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, Refused{fmt.Sprintf("there is no %s %s; there are healthz, ledger, orders, spend, calls, "+
			"faults (GET, POST, DELETE), mix (POST), workers (POST, DELETE) and options (GET, POST) under %s", r.Method, r.URL.Path, AdminPrefix)})
	})
	return mux
}

func (s *Server) adminHealth(*http.Request, []byte, time.Time) (int, any) {
	return http.StatusOK, Health{"ok", s.cluster.identifier, s.cluster.name, s.datacenter.Code}
}

func (s *Server) adminFaults(*http.Request, []byte, time.Time) (int, any) {
	return http.StatusOK, s.faults.Report()
}

func (s *Server) adminAddFaults(_ *http.Request, body []byte, _ time.Time) (int, any) {
	faults, err := fault.Parse(body)
	if err != nil {
		return http.StatusBadRequest, Refused{err.Error()}
	}
	return http.StatusCreated, s.faults.Add(faults)
}

// adminRemoveFaults withdraws the fault with ?id=, or all of them.
func (s *Server) adminRemoveFaults(r *http.Request, _ []byte, _ time.Time) (int, any) {
	query := r.URL.Query()
	if !query.Has("id") {
		s.faults.Clear()
		return http.StatusOK, s.faults.Report()
	}
	id, err := strconv.Atoi(query.Get("id"))
	if err != nil {
		return http.StatusBadRequest, Refused{fmt.Sprintf("field %q: %q is not a number", "id", query.Get("id"))}
	}
	if !s.faults.Remove(id) {
		return http.StatusNotFound, Refused{fmt.Sprintf("field %q: no fault %d is pending", "id", id)}
	}
	return http.StatusOK, s.faults.Report()
}

// adminSetOptions changes what is given, for orders and deletions from now on; all of it or nothing.
func (s *Server) adminSetOptions(_ *http.Request, body []byte, _ time.Time) (int, any) {
	change, err := parseSettings(body)
	if err != nil {
		return http.StatusBadRequest, Refused{err.Error()}
	}
	changed := s.settings.with(change)
	if err := changed.validate(); err != nil {
		return http.StatusBadRequest, Refused{err.Error()}
	}
	s.settings = changed
	s.log.Info("Options changed", "workerLimit", changed.workerLimit)
	return http.StatusOK, changed.report()
}
