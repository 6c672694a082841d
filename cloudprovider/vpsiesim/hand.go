// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// Foreign asks for a worker as a person adds one in VPSie's console: it costs money, it joins, and nobody ordered it here.
type Foreign struct {
	SizeID int `json:"sizeId"`
}

// AddForeign adds such a worker, to the node group of its size, and returns it.
func (s *Server) AddForeign(sizeID int) (Machine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addForeign(sizeID, s.clock.Now())
}

func (s *Server) addForeign(sizeID int, now time.Time) (Machine, error) {
	size, ok := s.catalogue.offer(sizeID)
	if !ok {
		return Machine{}, fmt.Errorf("field %q: the catalogue has no offer with id %d", "sizeId", sizeID)
	}
	s.settle(now)
	i := slices.IndexFunc(s.cluster.groups, func(g *group) bool { return g.size.ID == sizeID })
	var g *group
	if i >= 0 {
		g = s.cluster.groups[i]
	} else {
		g = s.addGroup("", size)
	}
	w := s.draw(g, now)
	s.enter(w, ledger.Order{Origin: ledger.Foreign})
	s.log.Info("Foreign machine added", "sequence", w.sequence, "sizeID", sizeID, "machine", w.machine.Hostname)
	return w.machine, nil
}

// adminMix replaces what strikes by chance. A mix without chances strikes nothing.
func (s *Server) adminMix(_ *http.Request, body []byte, _ time.Time) (int, any) {
	mix, err := fault.ParseMix(body)
	if err != nil {
		return http.StatusBadRequest, Refused{err.Error()}
	}
	s.faults.SetMix(mix)
	return http.StatusOK, mix
}

func (s *Server) adminAddForeign(_ *http.Request, body []byte, now time.Time) (int, any) {
	var asked Foreign
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return http.StatusBadRequest, Refused{fmt.Sprintf("reading which worker to add: %v; the field is: sizeId", err)}
	}
	machine, err := s.addForeign(asked.SizeID, now)
	if err != nil {
		return http.StatusBadRequest, Refused{err.Error()}
	}
	return http.StatusCreated, machine
}

// adminDestroy ends the worker with ?identifier= at once, as a person does in VPSie's console or a broken host by itself.
func (s *Server) adminDestroy(r *http.Request, _ []byte, now time.Time) (int, any) {
	identifier := r.URL.Query().Get("identifier")
	for _, w := range s.workers {
		if w.machine.Identifier == identifier && !w.isGone(now) {
			w.gone = now
			s.settle(now)
			s.nudge()
			s.log.Info("Machine destroyed by hand", "sequence", w.sequence, "machine", w.machine.Hostname)
			return http.StatusOK, w.machine
		}
	}
	return http.StatusNotFound, Refused{fmt.Sprintf("field %q: there is no worker %q", "identifier", identifier)}
}

// SetMix replaces what strikes by chance, for those who run the server in their own process.
func (s *Server) SetMix(mix fault.Mix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.SetMix(mix)
}

// Faults tells which faults wait and how many have struck.
func (s *Server) Faults() fault.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.Report()
}

// Ledger is the whole book as of now.
func (s *Server) Ledger() ledger.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.settle(now)
	return s.ledger.Report(now)
}
