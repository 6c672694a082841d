// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// joined is what Nodes tell of machines.
type joined struct {
	named map[string]string // machines that a registered Node names, and whose it says they are
	nodes map[string]node   // by name in lower case
}

// node is when a Node joined, whether it is Ready, and whether it belongs to nobody yet.
type node struct {
	at          time.Time
	ready, free bool
}

// joined reads what Nodes tell of machines.
func (r *Reconciler) joined(ctx context.Context) (joined, error) {
	nodes := &corev1.NodeList{}
	if err := r.kube.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return joined{}, fmt.Errorf("listing nodes: %w", err)
	}
	j := joined{named: map[string]string{}, nodes: map[string]node{}}
	for i := range nodes.Items {
		item := &nodes.Items[i]
		owner := item.Labels[v1alpha1.VPSieNodeLabel]
		if owner != "" {
			j.named[item.Annotations[v1alpha1.VPSIDAnnotation]] = owner
		}
		j.nodes[strings.ToLower(item.Name)] = node{at: item.CreationTimestamp.Time, ready: ready(item), free: owner == ""}
	}
	return j, nil
}

// rulesOut says whether a Node tells that the machine is not the answer to the order of n.
func (j joined) rulesOut(n v1alpha1.VPSieNode, instance cloudprovider.Instance) bool {
	// The VPSieNode may be there or not: its object may have been lost, and its machine is no answer to anybody's order.
	if owner, ok := j.named[instance.ID]; ok && owner != n.Name {
		return true
	}
	of, ok := j.nodes[strings.ToLower(instance.Hostname)]
	// One that is not Ready may be what is left of an earlier machine of the same name.
	return ok && (of.ready || isUnlisted(instance)) && of.at.Before(n.CreationTimestamp.Time)
}

const unlistedPrefix = "node/"

func isUnlisted(instance cloudprovider.Instance) bool {
	return strings.HasPrefix(instance.ID, unlistedPrefix)
}

// unlisted returns a machine, of any size, for each Node that joined of late, belongs to nobody, and is not among those known: VPSie will list it yet.
// It may answer an older order and none that is made now, so that the older one must not take the machine of the newer.
func (j joined) unlisted(all []v1alpha1.VPSieNode, known []cloudprovider.Instance, since time.Time) []cloudprovider.Instance {
	taken := map[string]bool{}
	for _, instance := range known {
		taken[strings.ToLower(instance.Hostname)] = true
	}
	sizes := map[string]bool{}
	for i := range all {
		taken[strings.ToLower(all[i].Status.Hostname)] = true
		if order := all[i].Status.Order; order != nil {
			sizes[order.Offering] = true
		}
	}
	var unlisted []cloudprovider.Instance
	for _, name := range slices.Sorted(maps.Keys(j.nodes)) {
		if n := j.nodes[name]; n.free && !taken[name] && n.at.After(since) {
			unlisted = append(unlisted, cloudprovider.Instance{ID: unlistedPrefix + name, Hostname: name, OfferingIDs: slices.Sorted(maps.Keys(sizes))})
		}
	}
	return unlisted
}
