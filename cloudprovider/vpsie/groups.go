// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
)

// groups knows VPSie's node groups by size: a cluster has at most one of each, and workers are bought into it.
type groups struct {
	client *api.Client

	mu    sync.Mutex
	turns map[int64]turn
	ids   map[int64]int64
}

func newGroups(client *api.Client) *groups {
	return &groups{client: client, turns: map[int64]turn{}, ids: map[int64]int64{}}
}

// takeTurn lets one order of a size through at a time: two would both find no group and both make one.
func (g *groups) takeTurn(ctx context.Context, size int64) (leave func(), err error) {
	g.mu.Lock()
	if g.turns[size] == nil {
		g.turns[size] = newTurn()
	}
	mine := g.turns[size]
	g.mu.Unlock()
	return mine.leave, mine.take(ctx)
}

func (g *groups) forget(size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.ids, size)
}

func (g *groups) remembered(size int64) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ids[size]
}

// ensure returns the node group of a size, made if there is none. The caller has the size's turn.
func (g *groups) ensure(ctx context.Context, cluster string, size int64) (int64, error) {
	if id := g.remembered(size); id != 0 {
		return id, nil
	}
	id, err := g.find(ctx, cluster, size, "")
	if err == nil && id == 0 {
		id, err = g.create(ctx, cluster, size)
	}
	if err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ids[size] = id
	return id, nil
}

// create makes a node group. Whatever VPSie answers, the list decides: a refusal because another group has the size, and
// a lost reply, may both mean that it is there. A group costs nothing, so no error here is one of a purchase.
func (g *groups) create(ctx context.Context, cluster string, size int64) (int64, error) {
	refusal := g.client.CreateNodeGroup(ctx, cluster, groupName(cluster, size), size)
	if refusal != nil && !api.IsAmbiguous(refusal) && !isSameSize(refusal) {
		return 0, asGroupRefusal(refusal)
	}
	id, err := g.find(ctx, cluster, size, groupInTheWay(refusal))
	switch {
	case err != nil:
		return 0, err
	case id != 0:
		return id, nil
	}
	return 0, &cloudprovider.Error{
		Reaction: cloudprovider.TryLater, Reason: ReasonNoNodeGroup, Err: errors.Join(errNoGroup, refusal),
	}
}

// asGroupRefusal narrows a limit: another size may have its group already.
func asGroupRefusal(err error) error {
	if why := react(err, SecretName); why.Reason == ReasonQuotaExceeded {
		return &cloudprovider.Error{Reaction: cloudprovider.TryElsewhere, Reason: ReasonQuotaExceeded, Err: why.Err}
	}
	return err
}

// find returns the node group of that size, else the one of that name, else 0; the oldest where there are several.
func (g *groups) find(ctx context.Context, cluster string, size int64, name string) (int64, error) {
	all, err := g.client.NodeGroups(ctx, cluster)
	if err != nil {
		return 0, err
	}
	all = slices.DeleteFunc(all, func(n wire.NodeGroup) bool { return n.Deleted })
	slices.SortFunc(all, func(a, b wire.NodeGroup) int { return cmp.Compare(a.ID, b.ID) })
	for _, fits := range []func(wire.NodeGroup) bool{
		func(n wire.NodeGroup) bool { return n.SizeID == size },
		func(n wire.NodeGroup) bool { return name != "" && n.Name == name },
	} {
		if i := slices.IndexFunc(all, fits); i >= 0 {
			return all[i].ID, nil
		}
	}
	return 0, nil
}

// groupName is the same after every restart, and distinct in the account.
func groupName(cluster string, size int64) string {
	return fmt.Sprintf("autoscaler-%s-%d", labelValue(cluster[:min(8, len(cluster))]), size)
}

// groupInTheWay reads the name out of VPSie's words "Group <name> has same selected Size".
func groupInTheWay(refusal error) string {
	var e *api.APIError
	if !errors.As(refusal, &e) {
		return ""
	}
	name, _, found := strings.Cut(e.Message, " has same selected")
	if !found {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(name, "Group "))
}

func sizeID(offeringID string) (int64, error) { return strconv.ParseInt(offeringID, 10, 64) }
