// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"cmp"
	"slices"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// addSlave accepts or refuses one order. An accepted one tells the caller nothing about the machine.
func (s *Server) addSlave(r *request) reply {
	call := fault.AddSlave
	if r.http.PathValue("group") != "" {
		call = fault.AddSlaveToGroup
	}
	if !s.names(r) {
		return refused(messageNoCluster)
	}
	g, ok := s.orderedGroup(r)
	if !ok {
		return refused(messageNoGroup)
	}
	if s.owned(r) >= s.settings.workerLimit {
		return refused(messageWorkerLimit)
	}
	if s.locked(call) {
		return refused(messageClusterLocked)
	}
	target := fault.Target{Call: call, SizeID: g.size.ID}
	if _, empty := s.strike(target, fault.NoStock); empty {
		return refused(messageNoStock)
	}
	if _, full := s.strike(target, fault.Quota); full {
		return refused(messageWorkerLimit)
	}
	if _, wrong := s.strike(target, fault.WrongPackage); wrong {
		return refused(messageWrongPackage)
	}
	w := s.order(g, target, r)
	if _, object := s.strike(target, fault.ObjectReply); object {
		return found(map[string]any{
			"id": firstNodeID + w.sequence, "identifier": w.machine.Identifier, "status": statusProvisioning, "hostname": w.shownHostname,
		})
	}
	return done()
}

// orderedGroup is the group of the path, or the cluster's own group where the path names none.
func (s *Server) orderedGroup(r *request) (*group, bool) {
	reference := r.http.PathValue("group")
	if reference == "" {
		return s.cluster.groups[0], true
	}
	return s.cluster.group(reference)
}

// owned counts the machines of the account, those still invisible and those being deleted included.
func (s *Server) owned(r *request) int {
	count := 0
	for _, w := range s.workers {
		if !w.isGone(r.now) {
			count++
		}
	}
	return count
}

// enterAttempt writes down which machine a deletion names, before anything can keep it from having an effect: an audit asks
// what a client tried, not what it was lucky not to do.
func (s *Server) enterAttempt(r *request) {
	identifier := r.text("identifier")
	for _, w := range s.workers {
		if w.machine.Identifier == identifier && !w.isGone(r.now) {
			s.ledger.ReleaseAsked(w.sequence)
		}
	}
}

// deleteSlave gives back the one machine that is named, and refuses to guess.
func (s *Server) deleteSlave(r *request) reply {
	if !s.names(r) {
		return refused(messageNoCluster)
	}
	identifier := r.text("identifier")
	if identifier == "" {
		return refused(messageFieldRequired, "identifier")
	}
	i := slices.IndexFunc(s.workers, func(w *worker) bool {
		return w.machine.Identifier == identifier && !w.isGone(r.now)
	})
	if i < 0 {
		return refused(messageNoNode)
	}
	return s.giveBack(s.workers[i], fault.DeleteSlave, r)
}

// reduceSlave gives back a machine of the group that VPSie picks: here the smallest identifier, so that
// nobody can rely on which it is.
func (s *Server) reduceSlave(r *request) reply {
	if !s.names(r) {
		return refused(messageNoCluster)
	}
	groupID, ok := r.number("groupId")
	if !ok {
		return refused(messageFieldRequired, "groupId")
	}
	candidates := slices.DeleteFunc(slices.Clone(s.workers), func(w *worker) bool {
		return w.group.id != groupID || w.released
	})
	if len(candidates) == 0 {
		return refused(messageEmptyGroup)
	}
	picked := slices.MinFunc(candidates, func(a, b *worker) int {
		return cmp.Compare(a.machine.Identifier, b.machine.Identifier)
	})
	return s.giveBack(picked, fault.ReduceSlave, r)
}

// giveBack starts the deletion. Asking again for a machine that is being deleted changes nothing.
func (s *Server) giveBack(w *worker, call fault.Call, r *request) reply {
	if s.locked(call) {
		return refused(messageClusterLocked)
	}
	target := fault.Target{Call: call, Identifier: w.machine.Identifier}
	if _, wrong := s.strike(target, fault.WrongPassword); wrong {
		return refused(messageWrongPassword)
	}
	if _, lies := s.strike(target, fault.DeleteLies); lies {
		s.ledger.Struck(w.sequence, fault.DeleteLies)
		return done()
	}
	if w.released {
		return done()
	}
	end := r.now.Add(s.settings.deletion)
	if slow, ok := s.strike(target, fault.SlowDelete); ok {
		s.ledger.Struck(w.sequence, fault.SlowDelete)
		end = end.Add(duration(slow.DelaySeconds))
	}
	if w.gone.IsZero() || end.Before(w.gone) {
		w.gone = end
	}
	w.released = true
	s.ledger.DeleteRequested(w.sequence, r.now)
	s.log.Info("Machine deletion requested", "machine", w.machine.Hostname, "sequence", w.sequence)
	s.nudge()
	return done()
}
