// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// informer keeps the objects that a field selector picks in a store and passes the name of each
// object that changes to enqueue.
func informer[L runtime.Object](
	object runtime.Object, selector string,
	list func(context.Context, metav1.ListOptions) (L, error),
	watcher func(context.Context, metav1.ListOptions) (watch.Interface, error),
	enqueue func(types.NamespacedName),
) (cache.Store, cache.Controller) {
	handle := func(changed any) {
		if name, err := cache.DeletionHandlingObjectToName(changed); err == nil {
			enqueue(types.NamespacedName{Namespace: name.Namespace, Name: name.Name})
		}
	}
	return cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
				options.FieldSelector = selector
				return list(ctx, options)
			},
			WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
				options.FieldSelector = selector
				return watcher(ctx, options)
			},
		},
		ObjectType: object,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    handle,
			UpdateFunc: func(_, changed any) { handle(changed) },
			DeleteFunc: handle,
		},
		Transform: withoutManagedFields,
	})
}

// withoutManagedFields drops what is half of a small object's size and never read here.
func withoutManagedFields(object any) (any, error) {
	if meta, ok := object.(metav1.Object); ok {
		meta.SetManagedFields(nil)
	}
	return object, nil
}
