@needs.authentication
Feature: Showing who one is

  A key that protects nothing is the worst fault of all.

  Rule: Only who has the secret is let in

    Scenario Outline: With <what> nobody may <deed>
      Given a bucket
      And "greeting" holds "hello"
      And I am <who>
      When I <act>
      Then it is refused with <code>
      And "greeting" holds "hello"

      Examples:
        | what              | deed   | who          | act                           | code                  |
        | a wrong secret    | read   | the impostor | read "greeting"               | SignatureDoesNotMatch |
        | a wrong secret    | put    | the impostor | put "greeting" holding "mine" | SignatureDoesNotMatch |
        | a wrong secret    | delete | the impostor | delete "greeting"             | SignatureDoesNotMatch |
        | a wrong secret    | list   | the impostor | list the objects              | SignatureDoesNotMatch |
        | a key nobody has  | read   | the unknown  | read "greeting"               | InvalidAccessKeyId    |
        | a key nobody has  | put    | the unknown  | put "greeting" holding "mine" | InvalidAccessKeyId    |
        | a key nobody has  | delete | the unknown  | delete "greeting"             | InvalidAccessKeyId    |
        | a key nobody has  | list   | the unknown  | list the objects              | InvalidAccessKeyId    |

    Scenario: With a wrong secret nobody sees which buckets there are
      Given a bucket
      And I am the impostor
      When I list my buckets
      Then it is refused with SignatureDoesNotMatch

  @needs.bearer
  Rule: A bearer token opens what its key opens

    Scenario: The owner's token
      Given a bucket
      And "greeting" holds "hello"
      And I am the owner with a bearer token
      When I read "greeting"
      Then I get "hello"

    Scenario: A token made with a wrong secret
      Given a bucket
      And "greeting" holds "hello"
      And I am the impostor with a bearer token
      When I read "greeting"
      Then it is refused with InvalidToken

    Scenario: A token of a key that nobody has
      Given a bucket
      And "greeting" holds "hello"
      And I am the unknown with a bearer token
      When I read "greeting"
      Then it is refused with InvalidToken

    Scenario: The stranger's token gives no more than the stranger's key
      Given a bucket
      And "greeting" holds "hello"
      And I am the stranger with a bearer token
      When I read "greeting"
      Then it is refused with AccessDenied
