# More tasks where the window fills or the lag grows. New tasks help when the connector is short of processor time or
# connections; a destination that throttles is not helped by more who ask, so the most there are is a limit that counts.

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${local.cluster_name}/${aws_ecs_service.this.name}"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "window" {
  name               = "${var.name}-window"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.window_use_target_percent
    scale_out_cooldown = 60
    scale_in_cooldown  = 600

    customized_metric_specification {
      metrics {
        id          = "used"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = module.collector.namespace
            metric_name = "esp_connector_window_records"

            dimensions {
              name  = "service"
              value = var.name
            }
          }
        }
      }

      metrics {
        id          = "limit"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = module.collector.namespace
            metric_name = "esp_connector_window_records_limit"

            dimensions {
              name  = "service"
              value = var.name
            }
          }
        }
      }

      metrics {
        id          = "use"
        label       = "Window in use, percent"
        expression  = "100 * used / limit"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "lag" {
  name               = "${var.name}-lag"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.lag_target_seconds * 1000
    scale_out_cooldown = 120
    scale_in_cooldown  = 600

    customized_metric_specification {
      namespace   = module.collector.namespace
      metric_name = "aerospike_esp_outbound_requests_lag"
      statistic   = "Average"

      dimensions {
        name  = "service"
        value = var.name
      }
    }
  }
}
