"""What has happened on the cluster, as records, and how records become a view of what is."""
